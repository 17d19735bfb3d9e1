//! The line of an fstab(5) that says where a mount point's file system is.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub source: Source,
    /// `auto` when the line leaves it to the mounter.
    pub kind: String,
    pub options: Vec<String>,
    /// Whether the file system is checked before it is mounted.
    pub check: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Uuid(String),
    Label(String),
    PartUuid(String),
    PartLabel(String),
    /// Below `/dev/`.
    Device(String),
    /// What only the running system can open: network shares, overlays.
    Other(String),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uuid(value) => write!(f, "UUID={value}"),
            Self::Label(value) => write!(f, "LABEL={value}"),
            Self::PartUuid(value) => write!(f, "PARTUUID={value}"),
            Self::PartLabel(value) => write!(f, "PARTLABEL={value}"),
            Self::Device(name) => write!(f, "/dev/{name}"),
            Self::Other(value) => f.write_str(value),
        }
    }
}

/// The entry of `mount_point`: the last one that is mounted at boot.
pub fn entry(text: &str, mount_point: &str) -> Option<Entry> {
    text.lines().rev().find_map(|line| {
        let line = line.trim_start();
        if line.starts_with('#') {
            return None;
        }
        let mut fields = line.split_ascii_whitespace().map(unescape);
        let source = fields.next()?;
        if fields.next()? != mount_point {
            return None;
        }
        let kind = fields.next()?;
        let options = fields.next().unwrap_or_else(|| "defaults".to_owned());
        let options: Vec<String> = options.split(',').map(str::to_owned).collect();
        if options.iter().any(|option| option == "noauto") {
            return None;
        }
        let pass = fields.nth(1).unwrap_or_default();
        Some(Entry { source: source_of(&source), kind, options, check: !matches!(pass.as_str(), "" | "0") })
    })
}

fn source_of(text: &str) -> Source {
    // A value may stand in quotes (libblkid's tags).
    let value = |value: &str| value.trim_matches('"').to_owned();
    match text.split_once('=') {
        Some(("UUID", found)) => Source::Uuid(value(found)),
        Some(("LABEL", found)) => Source::Label(value(found)),
        Some(("PARTUUID", found)) => Source::PartUuid(value(found)),
        Some(("PARTLABEL", found)) => Source::PartLabel(value(found)),
        _ => match text.strip_prefix("/dev/disk/").and_then(|rest| rest.split_once('/')) {
            Some(("by-uuid", found)) => Source::Uuid(value(found)),
            Some(("by-label", found)) => Source::Label(value(found)),
            Some(("by-partuuid", found)) => Source::PartUuid(value(found)),
            Some(("by-partlabel", found)) => Source::PartLabel(value(found)),
            Some(_) => Source::Other(text.to_owned()),
            None => match text.strip_prefix("/dev/") {
                Some(name) if !name.split('/').any(|part| part == "..") => Source::Device(name.to_owned()),
                _ => Source::Other(text.to_owned()),
            },
        },
    }
}

/// getmntent(3): blanks stand as three octal digits after a backslash.
fn unescape(field: &str) -> String {
    let mut text = String::new();
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code.filter(u8::is_ascii) {
            Some(code) => {
                text.push(char::from(code));
                rest = &rest[at + 4..];
            }
            None => {
                text.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_kind_of_source() {
        for (text, source) in [
            ("UUID=12-34", Source::Uuid("12-34".into())),
            ("LABEL=\"the\\040data\"", Source::Label("the data".into())),
            ("PARTUUID=ab", Source::PartUuid("ab".into())),
            ("/dev/disk/by-partlabel/var", Source::PartLabel("var".into())),
            ("/dev/vda2", Source::Device("vda2".into())),
            ("/dev/vg0/var", Source::Device("vg0/var".into())),
            ("server:/var", Source::Other("server:/var".into())),
            ("/dev/../etc", Source::Other("/dev/../etc".into())),
        ] {
            let found = entry(&format!("{text} /var ext4 defaults 0 2"), "/var").unwrap();
            assert_eq!((found.source, found.check), (source, true), "{text}");
        }
    }

    #[test]
    fn passes_over_comments_other_points_and_noauto() {
        let text = "# UUID=1 /var ext4\nUUID=2 / ext4 defaults\nUUID=3 /var ext4 noauto,ro 0 0\n\nUUID=4\n";
        assert_eq!(entry(text, "/var"), None);
    }

    #[test]
    fn a_short_line_has_defaults() {
        let found = entry("UUID=2 /var auto\n", "/var").unwrap();
        assert_eq!((found.options, found.check), (vec!["defaults".to_owned()], false));
    }
}
