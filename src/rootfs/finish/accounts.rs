//! The image's accounts: refuses passwords, and takes the build machine's date out of shadow(5).

use crate::rootfs::error::AssembleError;
use crate::rootfs::finish::tree_edit;
use crate::tree::Tree;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const SECONDS_A_DAY: i64 = 86_400;

/// Names to numbers, as the image's `/etc/passwd` or `/etc/group` has them.
#[derive(Debug, Default)]
pub struct Names {
    ids: BTreeMap<String, u32>,
}

impl Names {
    /// Reads the file; `root` is always known.
    pub fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap_or_default();
        let mut ids = BTreeMap::from([("root".to_owned(), 0)]);
        for line in text.lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(id)) = (fields.next(), fields.nth(1).and_then(|id| id.parse().ok())) {
                ids.insert(name.to_owned(), id);
            }
        }
        Self { ids }
    }

    /// The number of a name, or of a number written out.
    pub fn get(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied().or_else(|| name.parse().ok().filter(|&id: &u32| id < 65_536))
    }
}

/// Refuses passwords, and sets the day of each one's last change to the source date.
pub fn settle(tree: &mut Tree, epoch: i64) -> Result<(), AssembleError> {
    if let Some(text) = tree_edit::read_text(tree, "/etc/passwd")? {
        refuse_passwords("/etc/passwd", &text, |password| matches!(password, "x" | "*") || password.starts_with('!'))?;
    }
    if let Some(text) = tree_edit::read_text(tree, "/etc/shadow")? {
        refuse_passwords("/etc/shadow", &text, |password| password.starts_with(['*', '!']))?;
        tree_edit::replace_text(tree, "/etc/shadow", with_day(&text, epoch.div_euclid(SECONDS_A_DAY)));
    }
    if let Some(text) = tree_edit::read_text(tree, "/etc/gshadow")? {
        // Empty means that the group has none, and that only members may take it (gshadow(5)).
        refuse_passwords("/etc/gshadow", &text, |password| password.is_empty() || password.starts_with(['*', '!']))?;
    }
    Ok(())
}

fn refuse_passwords(file: &'static str, text: &str, locked: impl Fn(&str) -> bool) -> Result<(), AssembleError> {
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let mut fields = line.split(':');
        let (Some(user), Some(password)) = (fields.next(), fields.next()) else {
            let expected = "fields between colons";
            return Err(AssembleError::Accounts { file, line: index + 1, found: line.to_owned(), expected });
        };
        if !locked(password) {
            return Err(AssembleError::Password { user: user.to_owned(), file });
        }
    }
    Ok(())
}

/// shadow(5): the third field is the day of the last change, since 1970.
fn with_day(text: &str, day: i64) -> String {
    let mut changed = String::new();
    for line in text.lines() {
        let mut fields: Vec<&str> = line.split(':').collect();
        let day = day.to_string();
        if let Some(field) = fields.get_mut(2).filter(|field| !field.is_empty()) {
            *field = &day;
        }
        changed.push_str(&fields.join(":"));
        changed.push('\n');
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Metadata;

    fn settled(file: &str, text: &str) -> Result<String, AssembleError> {
        let mut tree = Tree::new(Metadata::new(0o755));
        tree_edit::put_file(&mut tree, file, text, 0o640, 0).unwrap();
        settle(&mut tree, 86_400 * 20_000 + 5)?;
        Ok(tree_edit::read_text(&tree, file)?.unwrap())
    }

    #[test]
    fn days_come_from_the_source_date() {
        let shadow = "root:*:19999:0:99999:7:::\na:!*::::::\nb:!:1::::::\n";
        assert_eq!(settled("/etc/shadow", shadow).unwrap(), "root:*:20000:0:99999:7:::\na:!*::::::\nb:!:20000::::::\n");
    }

    #[test]
    fn passwords_are_refused() {
        for (file, text) in [
            ("/etc/shadow", "root:$y$abc:1::::::\n"),
            ("/etc/shadow", "a:*:1::::::\nroot::1::::::\n"),
            ("/etc/passwd", "root::0:0:root:/root:/bin/sh\n"),
            ("/etc/gshadow", "adm:$6$x::\n"),
        ] {
            assert!(matches!(settled(file, text), Err(AssembleError::Password { .. })), "{file} {text}");
        }
        assert!(matches!(settled("/etc/shadow", "nonsense\n"), Err(AssembleError::Accounts { line: 1, .. })));
        assert!(settled("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n").is_ok());
        assert!(settled("/etc/gshadow", "adm:!::\nx:::\n").is_ok());
    }
}
