//! A profile as resolved, in the spelling of profiles.

use super::draft::{ARCHITECTURES, FORMATS, HYPERVISORS, KINDS, ON_MISSING, PROTOCOLS};
use super::{OverlayContent, Profile};
use crate::format::squashfs::Compression;
use std::fmt;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value, value};

impl Profile {
    /// TOML that reads back as this profile, but for the overlay files, which
    /// are listed in comments.
    pub fn show(&self) -> String {
        let mut top = DocumentMut::new();
        top["name"] = value(&self.name);
        top["kind"] = value(word(&KINDS, self.kind));
        top["version"] = value(&self.version);
        top["architecture"] = value(word(&ARCHITECTURES, self.architecture));
        top["volume-label"] = value(&self.volume_label);
        if let Some(epoch) = self.source_date_epoch {
            top["source-date-epoch"] = value(epoch);
        }
        top["agent"] = value(self.agent);
        top["recommends"] = value(self.recommends);
        if !self.suites.is_empty() {
            top["suites"] = lines(self.suites.iter().map(|suite| {
                let mut table = InlineTable::new();
                table.insert("archive", suite.archive.as_str().into());
                table.insert("name", suite.name.as_str().into());
                table.insert("components", Value::Array(suite.components.iter().collect()));
                Value::InlineTable(table)
            }));
        }
        if !self.packages.is_empty() {
            top["packages"] = lines(self.packages.iter().map(|package| match &package.version {
                Some(version) => format!("{}={version}", package.name).into(),
                None => package.name.as_str().into(),
            }));
        }
        if !self.sets.is_empty() {
            top["sets"] = lines(self.sets.iter().map(|set| {
                let mut table = InlineTable::new();
                table.insert("file", set.path.display().to_string().into());
                table.insert("sha256", hex::encode(set.sha256).into());
                Value::InlineTable(table)
            }));
        }
        if !self.guests.is_empty() {
            top["guests"] = value(self.guests.iter().map(|guest| guest.name.as_str()).collect::<Array>());
        }
        top["mirrors"] = strings(&self.mirrors);
        top["boot"] = self.show_boot();
        top["services"] = table([
            ("enable", list(&self.services.enable)),
            ("disable", list(&self.services.disable)),
            ("mask", list(&self.services.mask)),
        ]);
        let (compression, level) = match self.root.compression {
            Compression::Gzip { level } => ("gzip", i64::from(level)),
            Compression::Xz { level } => ("xz", i64::from(level)),
            Compression::Zstd { level } => ("zstd", i64::from(level)),
        };
        top["root"] = table([
            ("format", value(word(&FORMATS, self.root.format))),
            ("compression", value(compression)),
            ("level", value(level)),
            ("block-size", value(i64::from(self.root.block_size))),
        ]);
        let mut prune = vec![("documentation", value(self.prune.documentation)), ("paths", list(&self.prune.paths))];
        prune.extend(self.prune.keep_locales.as_ref().map(|locales| ("keep-locales", list(locales))));
        top["prune"] = table(prune);
        top["initramfs"] =
            table([("include", list(&self.initramfs.include)), ("exclude", list(&self.initramfs.exclude))]);
        top["variables"] = strings(&self.variables);
        format!("{top}{}", Files(self))
    }

    fn show_boot(&self) -> Item {
        let boot = &self.boot;
        let hypervisors = boot.hypervisors.iter().map(|found| word(&HYPERVISORS, *found));
        let mut keys = vec![("hypervisors", value(hypervisors.collect::<Array>()))];
        keys.extend(boot.kernel.as_ref().map(|kernel| ("kernel", value(kernel))));
        if boot.hypervisors.is_empty() {
            keys.push(("protocol", value(word(&PROTOCOLS, boot.protocol))));
        }
        keys.extend([
            ("kernel-arguments", list(&boot.kernel_arguments)),
            ("xen-arguments", list(&boot.xen_arguments)),
            ("consoles", list(&boot.consoles)),
            ("on-missing", value(word(&ON_MISSING, boot.on_missing))),
            ("menu-timeout", value(i64::from(boot.menu_timeout))),
            ("secure-boot", value(boot.secure_boot)),
        ]);
        table(keys)
    }
}

fn word<T: PartialEq>(words: &[(&'static str, T)], wanted: T) -> &'static str {
    words.iter().find(|(_, value)| *value == wanted).map_or("", |(word, _)| word)
}

fn table<'a>(keys: impl IntoIterator<Item = (&'a str, Item)>) -> Item {
    let mut table = Table::new();
    for (key, item) in keys {
        table[key] = item;
    }
    Item::Table(table)
}

fn strings(map: &std::collections::BTreeMap<String, String>) -> Item {
    let mut table = Table::new();
    // An empty table would be a heading over nothing.
    table.set_implicit(true);
    for (key, text) in map {
        table[key] = value(text);
    }
    Item::Table(table)
}

fn list(texts: &[String]) -> Item {
    value(texts.iter().collect::<Array>())
}

/// A list with a line for each item.
fn lines(items: impl Iterator<Item = Value>) -> Item {
    let mut array: Array = items.collect();
    for item in array.iter_mut() {
        item.decor_mut().set_prefix("\n    ");
    }
    array.set_trailing("\n");
    array.set_trailing_comma(true);
    value(array)
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
