//! URLs of files: `http:`, `https:` or `file:`.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

/// Displayed without its password.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url(Kind);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Web(String),
    File(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("found {found:?}, expected an http:, https: or file: URL with an absolute path")]
    Url { found: String },
    #[error("found the path {found:?}, expected a relative one without `..`")]
    Path { found: String },
}

pub(in crate::packages) enum Place<'a> {
    Web(&'a str),
    File(&'a std::path::Path),
}

impl Url {
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let fail = || UrlError::Url { found: without_password(text) };
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(fail());
        }
        let (scheme, rest) = text.split_once(':').ok_or_else(fail)?;
        match scheme.to_ascii_lowercase().as_str() {
            scheme @ ("http" | "https") => {
                let rest = rest.strip_prefix("//").ok_or_else(fail)?.trim_end_matches('/');
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                if !is_host_and_port(host) || rest.contains(['?', '#']) {
                    return Err(fail());
                }
                Ok(Self(Kind::Web(format!("{scheme}://{rest}"))))
            }
            "file" => {
                // RFC 8089: file:/path, file:///path and file://localhost/path are equivalent.
                let path = match rest.strip_prefix("//") {
                    Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
                    None => rest,
                };
                let path = decode(path).filter(|path| path.starts_with('/') && !path.contains('\0'));
                Ok(Self(Kind::File(path.ok_or_else(fail)?.into())))
            }
            _ => Err(fail()),
        }
    }

    /// The URL of a local directory with an absolute path.
    pub(in crate::packages) fn of_folder(path: &std::path::Path) -> Self {
        Self(Kind::File(path.to_owned()))
    }

    /// The URL of the file at `path` below this one. The path comes from an index or a lock, so it must not lead
    /// outside.
    pub fn join(&self, path: &str) -> Result<Self, UrlError> {
        let inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !inside || path.contains('\0') {
            return Err(UrlError::Path { found: path.to_owned() });
        }
        Ok(Self(match &self.0 {
            Kind::Web(base) => Kind::Web(format!("{base}/{}", encode(path))),
            Kind::File(base) => Kind::File(base.join(path)),
        }))
    }

    pub(in crate::packages) fn place(&self) -> Place<'_> {
        match &self.0 {
            Kind::Web(text) => Place::Web(text),
            Kind::File(path) => Place::File(path),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Web(text) => f.write_str(&without_password(text)),
            Kind::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Removes the password of `user:password@`, for logs and terminals.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => {
            let user = rest[..at].split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{}", &rest[at + 1..])
        }
        None => text.to_owned(),
    }
}

/// Percent-encodes the characters that a path may not contain (RFC 3986, 3.3).
fn encode(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for &byte in path.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~+:@!$&'()*,;=".contains(&byte) {
            text.push(byte.into());
        } else {
            let _ = write!(text, "%{byte:02X}"); // a String takes everything
        }
    }
    text
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

/// Whether the text is a host or a bracketed IPv6 address, with or without a port from 1 to 65535 (RFC 3986, 3.2).
fn is_host_and_port(text: &str) -> bool {
    let (host, rest) = match text.strip_prefix('[').map(|inner| inner.split_once(']')) {
        Some(Some((address, rest))) if address.parse::<std::net::Ipv6Addr>().is_ok() => (address, rest),
        Some(_) => return false,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|number| number > 0)
    };
    !host.is_empty() && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::causes::WithCauses as _;

    fn shown(text: &str) -> Option<String> {
        Url::parse(text).ok().map(|url| url.to_string())
    }

    #[test]
    fn takes_the_three_schemes() {
        assert_eq!(shown("http://mirror.example.org/debian/").unwrap(), "http://mirror.example.org/debian");
        assert_eq!(shown("HTTPS://mirror.example.org").unwrap(), "https://mirror.example.org");
        for text in ["file:/srv/a%20b", "file:///srv/a%20b", "file://localhost/srv/a%20b"] {
            assert_eq!(shown(text).unwrap(), "file:/srv/a b");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "/srv",
            "ftp://a/b",
            "http:/a",
            "http://",
            "http://:80/a",
            "http://u@/a",
            "http://h:99999/a",
            "http://h:/a",
            "http://h:0",
            "http://h:x",
            "http://[::1/x",
            "file:srv",
            "http://a b/",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
        assert_eq!(shown("http://a/b?c"), None);
        assert_eq!(shown("file:/a%zz"), None);
        assert_eq!(shown("file:/a%00"), None);
    }

    #[test]
    fn hides_a_password() {
        assert_eq!(shown("https://me:secret@example.org/debian").unwrap(), "https://me@example.org/debian");
        assert!(!Url::parse("ftp://me:secret@example.org").unwrap_err().with_causes().contains("secret"));
    }

    #[test]
    fn joins_only_paths_that_stay_below() {
        let base = Url::parse("http://example.org/debian").unwrap();
        let joined = base.join("pool/main/g/g++/g++_4%3a1~rc_amd64.deb").unwrap();
        assert_eq!(joined.to_string(), "http://example.org/debian/pool/main/g/g++/g++_4%253a1~rc_amd64.deb");
        for path in ["", "/etc/passwd", "pool/../../x", "pool//x", "./x", "x\0"] {
            assert!(base.join(path).is_err(), "{path:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,40}", prefix in "(http://|file:|https:)?") {
            let _ = Url::parse(&format!("{prefix}{text}"));
        }
    }
}
