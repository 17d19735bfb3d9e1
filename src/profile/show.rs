//! A resolved profile as TOML.

use super::keys::KEYS;
use super::{OverlayContent, Profile};
use std::fmt;
use toml_edit::{DocumentMut, Item, Table};

impl Profile {
    /// TOML that parses to this profile, except the overlay files, which are listed in comments.
    pub fn show(&self) -> String {
        let mut top = DocumentMut::new();
        for key in KEYS {
            let Some(item) = key.show.and_then(|show| show(self)) else { continue };
            match key.split() {
                (None, name) => top[name] = item,
                (Some(table), name) => {
                    top.entry(table).or_insert_with(|| Item::Table(Table::new()))[name] = item;
                }
            }
        }
        format!("{top}{}", Files(self))
    }
}

struct Files<'a>(&'a Profile);

impl fmt::Display for Files<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in self.0.overlays.iter().flat_map(|overlay| &overlay.files) {
            let (mode, owner, group) = (file.mode, &file.owner, &file.group);
            write!(f, "# {mode:04o} {owner}:{group} {}", file.path)?;
            match &file.content {
                OverlayContent::Bytes(bytes) => writeln!(f, " ({} bytes)", bytes.len())?,
                OverlayContent::Template(_) => writeln!(f, " (template)")?,
                OverlayContent::Directory => writeln!(f, " (directory)")?,
                OverlayContent::Symlink(target) => writeln!(f, " -> {target}")?,
            }
        }
        Ok(())
    }
}
