//! The line of an fstab(5) that says where a mount point's file system is.

/// A line of fstab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The first field.
    pub source: Source,
    /// `auto` when the line leaves it to the mounter.
    pub kind: String,
    /// The fourth field, split at commas.
    pub options: Vec<String>,
    /// Whether the file system is checked before it is mounted.
    pub check: bool,
}

/// How fstab names a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `UUID=`.
    Uuid(String),
    /// `LABEL=`.
    Label(String),
    /// `PARTUUID=`.
    PartUuid(String),
    /// `PARTLABEL=`.
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

impl Entry {
    /// Whether the machine is to boot without it, where it cannot be mounted.
    pub fn no_fail(&self) -> bool {
        self.options.iter().any(|option| option == "nofail")
    }

    /// Whether it is a file system in memory.
    pub fn is_memory(&self) -> bool {
        matches!(self.kind.as_str(), "tmpfs" | "ramfs")
    }

    /// The value of an option `NAME=VALUE`; the last one counts.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }
}

/// The entries of `mount_point` that are mounted at boot. Of several, systemd takes the first.
pub fn entries(text: &str, mount_point: &str) -> Vec<Entry> {
    let parse = |line: &str| {
        let line = line.trim_start();
        if line.starts_with('#') {
            return None;
        }
        let mut fields = line.split_ascii_whitespace().map(unescape);
        let source = fields.next()?;
        if simple(&fields.next()?) != mount_point {
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
    };
    text.lines().filter_map(parse).collect()
}

/// The path without what names no other: doubled slashes, one at the end, and `.`.
fn simple(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.fold(String::new(), |path, part| path + "/" + part)
}

fn source_of(text: &str) -> Source {
    // A value may stand in quotes (libblkid's tags).
    let value = |value: &str| value.trim_matches('"').to_owned();
    // udev writes what a file name should not hold as \xHH.
    let name = |name: &str| unescape_udev(name);
    let simplified = if text.starts_with("/dev/") { simple(text) } else { text.to_owned() };
    let text = simplified.as_str();
    match text.split_once('=') {
        Some(("UUID", found)) => Source::Uuid(value(found)),
        Some(("LABEL", found)) => Source::Label(value(found)),
        Some(("PARTUUID", found)) => Source::PartUuid(value(found)),
        Some(("PARTLABEL", found)) => Source::PartLabel(value(found)),
        _ => match text.strip_prefix("/dev/disk/").and_then(|rest| rest.split_once('/')) {
            Some(("by-uuid", found)) => Source::Uuid(name(found)),
            Some(("by-label", found)) => Source::Label(name(found)),
            Some(("by-partuuid", found)) => Source::PartUuid(name(found)),
            Some(("by-partlabel", found)) => Source::PartLabel(name(found)),
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

/// udev(7) writes bytes that a name below /dev should not hold as `\\x` and two hexadecimal digits.
fn unescape_udev(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name;
    while let Some(at) = rest.find("\\x") {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        match rest.get(at + 2..at + 4).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[at + 4..];
            }
            None => {
                bytes.extend_from_slice(b"\\x");
                rest = &rest[at + 2..];
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str, mount_point: &str) -> Option<Entry> {
        entries(text, mount_point).into_iter().next()
    }

    #[test]
    fn reads_every_kind_of_source() {
        for (text, source) in [
            ("UUID=12-34", Source::Uuid("12-34".into())),
            ("LABEL=\"the\\040data\"", Source::Label("the data".into())),
            ("PARTUUID=ab", Source::PartUuid("ab".into())),
            ("/dev/disk/by-partlabel/var", Source::PartLabel("var".into())),
            ("/dev//disk/by-label/the\\x20data", Source::Label("the data".into())),
            ("/dev/disk/by-label/caf\\xc3\\xa9\\x", Source::Label("café\\x".into())),
            ("/dev/disk/by-id/virtio-var", Source::Other("/dev/disk/by-id/virtio-var".into())),
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
    fn a_mount_point_is_the_same_however_it_is_written() {
        for point in ["/var", "/var/", "//var", "/var//", "/./var/.", "/va\\162"] {
            assert!(entry(&format!("UUID=1 {point} ext4\n"), "/var").is_some(), "{point}");
        }
        for point in ["/var/lib", "/vars", "/", "/var/..", "none"] {
            assert_eq!(entry(&format!("UUID=1 {point} ext4\n"), "/var"), None, "{point}");
        }
    }

    #[test]
    fn of_several_lines_the_first_counts_and_of_several_values_the_last() {
        let text = "UUID=1 /var ext4 x-a=1,nofail,x-a=2\nUUID=2 /var ext4\n";
        assert_eq!(entries(text, "/var").len(), 2);
        let found = entry(text, "/var").unwrap();
        assert_eq!(
            (found.source.to_string().as_str(), found.value("x-a"), found.no_fail()),
            ("UUID=1", Some("2"), true)
        );
        assert_eq!((found.value("x-"), found.value("nofail")), (None, None));
    }

    #[test]
    fn a_short_line_has_defaults() {
        let found = entry("UUID=2 /var auto\n", "/var").unwrap();
        assert_eq!((found.options, found.check), (vec!["defaults".to_owned()], false));
    }
}
