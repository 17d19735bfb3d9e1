//! `local/modes`: owners and modes that a checkout or a FAT file system cannot hold.
//!
//! A line an entry: `PATH OWNER MODE`; `#` begins a comment. `PATH` is relative
//! to `local/` and may end in `/**` to mean everything below; a later line wins.
//! `OWNER` is `user` or `user:group`, by name or number. `MODE` is octal, or `-`
//! to keep the file's own.
//!
//! ```text
//! etc/ssh/ssh_host_ed25519_key  root:root   0600
//! etc/ssl/private/**            root:ssl-cert 0640
//! ```

/// Path of the file, relative to `local/`.
pub const FILE_NAME: &str = "modes";

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    path: String,
    below: bool,
    /// The owner: a name or a number.
    pub user: String,
    /// The group: a name or a number.
    pub group: Option<String>,
    /// The mode; `None` keeps the file's own.
    pub mode: Option<u32>,
}

/// All lines of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Modes {
    entries: Vec<Entry>,
}

/// A line that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line} of modes: found {found:?}, expected {expected}")]
pub struct ModesError {
    /// The line's number, from 1.
    pub line: usize,
    /// The line.
    pub found: String,
    /// What it should be.
    pub expected: &'static str,
}

impl Modes {
    /// Reads the text of the file.
    pub fn parse(text: &str) -> Result<Self, ModesError> {
        let mut entries = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let content = line.split('#').next().unwrap_or_default().trim();
            if content.is_empty() {
                continue;
            }
            let fail = |expected| ModesError { line: number + 1, found: line.to_owned(), expected };
            let fields: Vec<&str> = content.split_whitespace().collect();
            let [path, owner, mode] = fields[..] else {
                return Err(fail("PATH OWNER MODE"));
            };
            let (path, below) = match path.strip_suffix("/**") {
                Some(folder) => (folder, true),
                None => (path, false),
            };
            if path.is_empty() || path.starts_with('/') || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                return Err(fail("a path relative to local/, without . and .."));
            }
            let (user, group) = match owner.split_once(':') {
                Some((user, group)) if !group.is_empty() && !group.contains(':') => (user, Some(group.to_owned())),
                Some(_) => return Err(fail("an owner of the form user or user:group")),
                None => (owner, None),
            };
            if user.is_empty() {
                return Err(fail("an owner of the form user or user:group"));
            }
            let mode = match mode {
                "-" => None,
                digits => match u32::from_str_radix(digits, 8) {
                    Ok(mode) if mode <= 0o7777 => Some(mode),
                    _ => return Err(fail("an octal mode up to 7777, or -")),
                },
            };
            entries.push(Entry { path: path.to_owned(), below, user: user.to_owned(), group, mode });
        }
        Ok(Self { entries })
    }

    /// What is said of `path` (relative to `local/`); the last line that matches wins.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| {
            if entry.below {
                path.strip_prefix(entry.path.as_str()).is_some_and(|rest| rest.starts_with('/'))
            } else {
                path == entry.path
            }
        })
    }

    /// All entries, in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl Entry {
    /// The path relative to `local/`, without `/**`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_matching_line_wins() {
        let modes =
            Modes::parse("# keys\netc/ssl/** root 0644\netc/ssl/private/** root:ssl-cert 0640 # group\netc/x 7:8 -\n")
                .unwrap();
        assert_eq!(modes.get("etc/ssl/private/key").unwrap().mode, Some(0o640));
        assert_eq!(modes.get("etc/ssl/cert").unwrap().mode, Some(0o644));
        assert_eq!(modes.get("etc/x").unwrap().mode, None);
        assert_eq!(modes.get("etc/ssl"), None);
        assert_eq!(modes.get("etc/sslx"), None);
    }

    #[test]
    fn refuses_what_it_cannot_mean() {
        for line in [
            "etc/x root",
            "/etc/x root 644",
            "etc/../x root 644",
            "etc/x root 888",
            "etc/x : 644",
            "etc/x a:b:c 644",
            "etc/x root 17777",
        ] {
            assert!(Modes::parse(line).is_err(), "{line}");
        }
    }
}
