//! Logins for private archives, from files in the format of apt_auth.conf(5). They appear in no profile, lock, message
//! or build record.

use crate::util::file_error::{At as _, FileError};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Logins, each with the URL prefix that it applies to. The first match is used.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    entries: Vec<Entry>,
    /// Files that could not be opened for lack of permission; named in the message on an archive that requires a login.
    unread: Vec<PathBuf>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Entry {
    /// `None`: https only.
    scheme: Option<String>,
    /// Host, optional port, and path prefix.
    place: String,
    login: String,
    password: String,
}

impl Credentials {
    /// Reads the logins of `named`, which must exist, then those of `apt` (`/etc/apt`), which ordinary users often may not
    /// read.
    pub fn find(named: Option<&Path>, apt: Option<&Path>) -> Result<Self, FileError> {
        let mut found = Self::default();
        if let Some(path) = named {
            let text = fs::read(path).at("reading the logins of", path)?;
            found.entries.extend(parse(&text));
        }
        let Some(apt) = apt else { return Ok(found) };
        let parts = fs::read_dir(apt.join("auth.conf.d")).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut paths: Vec<PathBuf> =
            parts.filter(|path| path.extension().is_some_and(|ending| ending == "conf")).collect();
        paths.sort();
        paths.push(apt.join("auth.conf"));
        for path in paths {
            match fs::read(&path) {
                Ok(text) => found.entries.extend(parse(&text)),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => found.unread.push(path),
                Err(_) => {}
            }
        }
        Ok(found)
    }

    /// Parses the text of a file.
    pub fn parse(text: &[u8]) -> Self {
        Self { entries: parse(text), unread: Vec::new() }
    }

    /// The value of the `Authorization` header for a URL, if a login is known.
    pub(super) fn authorization(&self, url: &str) -> Option<String> {
        let (scheme, rest) = url.split_once("://")?;
        let entry = self.entries.iter().find(|entry| entry.is_for(scheme, rest))?;
        Some(format!("Basic {}", base64(format!("{}:{}", entry.login, entry.password).as_bytes())))
    }

    /// Files that may contain a login but that this user may not read.
    pub(super) fn unread(&self) -> &[PathBuf] {
        &self.unread
    }
}

impl Entry {
    fn is_for(&self, scheme: &str, rest: &str) -> bool {
        if scheme != self.scheme.as_deref().unwrap_or("https") {
            return false;
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, own_path) = self.place.split_at(self.place.find('/').unwrap_or(self.place.len()));
        // An entry without a port matches all ports; if the URL has no port, no default is assumed.
        let same = host.eq_ignore_ascii_case(authority)
            || !has_port(host)
                && authority.rsplit_once(':').is_some_and(|(name, port)| {
                    port.bytes().all(|byte| byte.is_ascii_digit()) && name.eq_ignore_ascii_case(host)
                });
        same && path.starts_with(own_path)
    }
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Parses words separated by white space. Unknown words and incomplete entries are ignored.
fn parse(text: &[u8]) -> Vec<Entry> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    let mut entries: Vec<Entry> = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "machine" => {
                let Some(place) = words.next() else { break };
                let (scheme, place) = match place.split_once("://") {
                    Some((scheme, place)) => (Some(scheme.to_ascii_lowercase()), place),
                    None => (None, place),
                };
                entries.push(Entry { scheme, place: place.to_owned(), ..Entry::default() });
            }
            "login" | "password" => {
                let (Some(value), Some(entry)) = (words.next(), entries.last_mut()) else { continue };
                let slot = if word == "login" { &mut entry.login } else { &mut entry.password };
                value.clone_into(slot);
            }
            _ => {}
        }
    }
    entries.retain(|entry| !entry.place.is_empty() && !entry.login.is_empty());
    entries
}

/// Base64 (RFC 4648, 4).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let octet = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > group.len() { '=' } else { letter.into() });
        }
    }
    text
}

/// Omits logins and passwords.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.place)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether the line applies to the URL.
    fn fits(machine: &str, url: &str) -> bool {
        let text = format!("machine {machine} login apt password debian\n");
        let found = Credentials::parse(text.as_bytes()).authorization(url);
        assert!(found.iter().all(|value| value == "Basic YXB0OmRlYmlhbg=="), "{found:?}");
        found.is_some()
    }

    /// The examples of apt_auth.conf(5).
    #[test]
    fn entries_are_for_what_apt_takes_them_for() {
        let url = "https://example.org/debian/dists/bookworm/InRelease";
        for machine in ["example.org", "example.org/deb", "example.org/debian", "example.org/debian/", "EXAMPLE.org"] {
            assert!(fits(machine, url), "{machine}");
        }
        for machine in [
            "example.org:443",
            "example.org/deb/",
            "example.org/ubuntu",
            "example.orga",
            "example.net",
            "http://example.org",
        ] {
            assert!(!fits(machine, url), "{machine}");
        }
        assert!(
            fits("example.org", "https://example.org:8443/x") && fits("example.org:8443", "https://example.org:8443/x")
        );
        assert!(!fits("example.org:8443", "https://example.org:8444/x"));
        // An entry without a scheme applies to https only, so that no password is sent unencrypted.
        assert!(!fits("example.org", "http://example.org/x"));
        assert!(fits("http://example.org", "http://example.org/x"));
        assert!(
            !fits("example.org", "https://example.org.evil.net/x") && !fits("example.org", "https://a@example.org/x")
        );
    }

    #[test]
    fn words_may_be_on_any_lines() {
        let text =
            b"# machine no.example.org login a password b\nmachine one.example.org\n\tlogin me\n  password p#1\n\
                     unknown machine two.example.org/x login you password q machine three.example.org password only";
        let found = Credentials::parse(text);
        assert_eq!(found.authorization("https://one.example.org/").unwrap(), format!("Basic {}", base64(b"me:p#1")));
        assert_eq!(found.authorization("https://two.example.org/xy").unwrap(), format!("Basic {}", base64(b"you:q")));
        assert_eq!(found.authorization("https://three.example.org/"), None);
        assert_eq!(found.authorization("https://no.example.org/"), None);
        let shown = format!("{found:?}");
        assert!(shown.contains("two.example.org/x") && !shown.contains("p#1") && !shown.contains("you"), "{shown}");
    }

    #[test]
    fn the_named_file_comes_first_and_must_be_there() {
        let apt = tempfile::tempdir().unwrap();
        fs::create_dir(apt.path().join("auth.conf.d")).unwrap();
        let line = |login: &str| format!("machine example.org login {login} password x\n");
        fs::write(apt.path().join("auth.conf"), line("last")).unwrap();
        fs::write(apt.path().join("auth.conf.d/b.conf"), line("part")).unwrap();
        fs::write(apt.path().join("auth.conf.d/a.txt"), line("other")).unwrap();
        let found = |named: Option<&Path>| {
            Credentials::find(named, Some(apt.path())).map(|found| found.authorization("https://example.org/"))
        };
        assert_eq!(found(None).unwrap().unwrap(), format!("Basic {}", base64(b"part:x")));
        let own = apt.path().join("own");
        assert!(found(Some(&own)).unwrap_err().to_string().contains("reading the logins of"));
        fs::write(&own, line("own")).unwrap();
        assert_eq!(found(Some(&own)).unwrap().unwrap(), format!("Basic {}", base64(b"own:x")));
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (text, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(text.as_bytes()), coded);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(machine|login|password|[a-z./:]{1,6}|#| |\n){0,30}", url in "https?://[a-z.:/@]{0,12}") {
            let _ = Credentials::parse(text.as_bytes()).authorization(&url);
        }
    }
}
