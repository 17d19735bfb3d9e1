//! Path patterns: `*` and `?` match within a name, `**` matches any number of names.

#[derive(Debug, Clone)]
pub struct Pattern {
    names: Vec<Vec<u8>>,
}

impl Pattern {
    /// Parses an absolute pattern. Refuses one that would match the root.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(rest) = text.strip_prefix('/') else { return Err("is relative, expected a leading slash") };
        let names: Vec<Vec<u8>> =
            rest.split('/').filter(|name| !name.is_empty()).map(|name| name.as_bytes().to_vec()).collect();
        if names.iter().any(|name| matches!(name.as_slice(), b"." | b"..")) {
            return Err("holds . or .., expected plain names");
        }
        if names.iter().all(|name| name == b"**") {
            return Err("matches everything, expected a name");
        }
        Ok(Self { names })
    }

    pub fn matches<'a>(&self, path: impl Iterator<Item = &'a [u8]>) -> bool {
        let path: Vec<&[u8]> = path.collect();
        let names: Vec<&[u8]> = self.names.iter().map(Vec::as_slice).collect();
        all(&names, &path)
    }
}

fn all(names: &[&[u8]], path: &[&[u8]]) -> bool {
    match (names.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&b"**", rest)), _) => all(rest, path) || (!path.is_empty() && all(names, &path[1..])),
        (Some((name, names)), Some((part, path))) => one(name, part) && all(names, path),
        _ => false,
    }
}

fn one(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => one(rest, name) || (!name.is_empty() && one(pattern, &name[1..])),
        (Some((b'?', rest)), Some((_, name))) => one(rest, name),
        (Some((byte, rest)), Some((first, name))) => byte == first && one(rest, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(path.split('/').map(str::as_bytes))
    }

    #[test]
    fn matches_as_written() {
        for (pattern, path, expected) in [
            ("/usr/share/*", "usr/share/x", true),
            ("/usr/share/*", "usr/share/x/y", false),
            ("/usr/share/**", "usr/share/x/y", true),
            ("/**/*.pyc", "usr/lib/a/b.pyc", true),
            ("/**/*.pyc", "b.pyc", true),
            ("/**/*.pyc", "usr/b.py", false),
            ("/usr/**/test/*", "usr/test/x", true),
            ("/usr/l?b", "usr/lib", true),
            ("/usr/l?b", "usr/lb", false),
            ("/usr/share/doc", "usr/share/documents", false),
            ("/a*b*c", "aXbYc", true),
            ("/a*b*c", "aXbYd", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
        for bad in ["usr/x", "/", "/**", "/a/../b"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
