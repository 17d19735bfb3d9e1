//! A guest's disks: name, source, access, and how the host makes them.

use super::Size;
use serde::{Deserialize, Serialize};

/// A disk beside the root and the served config, which every guest has without asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Table", into = "Table")]
pub struct Disk {
    /// How the guest finds it.
    pub name: DiskName,
    /// What it is on the host.
    pub source: DiskSource,
    /// What the guest may do with it.
    pub access: Access,
}

/// What a guest may do with a disk, and whether the host makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The guest reads only.
    ReadOnly,
    /// `create` says how it is made where it is not there.
    Write {
        /// What the host writes to a new disk.
        content: Content,
        /// The size of a new disk; `None` if the host makes none.
        create: Option<Size>,
    },
}

/// What a disk holds that the host makes on its first use, and never again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Content {
    /// An ext4 file system.
    #[default]
    Ext4,
    /// A swap space.
    Swap,
    /// The guest's own affair.
    Nothing,
}

/// Keys of a disk that contradict each other.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant says in its message what it means")]
pub enum DiskError {
    #[error("disk {name}: read-only and {other} exclude each other")]
    ReadOnly { name: DiskName, other: &'static str },
    #[error("disk {name}: create = true needs a size, as in size = \"10G\"")]
    NoSize { name: DiskName },
    #[error("disk {name}: {key} says how a disk is made, which create = true asks for")]
    NotMade { name: DiskName, key: &'static str },
    #[error("disk {name}: swap = true and format = {format:?} exclude each other")]
    Swap { name: DiskName, format: &'static str },
    #[error(
        "disk {name}: source {source_path:?} cannot be made, expected a logical volume, as in \"/dev/GROUP/VOLUME\", or a file outside /dev"
    )]
    NotMakable { name: DiskName, source_path: String },
}

/// The table `[[disk]]` as it is written.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Disk"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    /// What the disk is called in messages and, under KVM, in the guest's
    /// /dev/disk/by-id/virtio-NAME: 1 to 20 lower-case letters, digits and
    /// hyphens. `root` and `config` are the host's.
    #[cfg_attr(feature = "schema", schemars(example = &"data"))]
    name: DiskName,
    /// A block device, a logical volume (/dev/GROUP/VOLUME) or a file, by its absolute path.
    #[cfg_attr(feature = "schema", schemars(example = &"/dev/vg0/web-data"))]
    source: DiskSource,
    /// The guest cannot write it. The same disk may then be in several guests.
    #[serde(default, skip_serializing_if = "is_default")]
    read_only: bool,
    /// It is swap space: formatted as such when it is made.
    #[serde(default, skip_serializing_if = "is_default")]
    swap: bool,
    /// Make it where it is not there: a logical volume in the named group, or a
    /// file. It is formatted then, and never again.
    #[serde(default, skip_serializing_if = "is_default")]
    #[cfg_attr(feature = "schema", schemars(example = true))]
    create: bool,
    /// How large it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(example = &"10G"))]
    size: Option<Size>,
    /// The file system it is given when it is made: "ext4", or "none" to leave that to the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(example = &"ext4"))]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
enum Format {
    Ext4,
    None,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl TryFrom<Table> for Disk {
    type Error = DiskError;

    fn try_from(table: Table) -> Result<Self, DiskError> {
        let Table { name, source, read_only, swap, create, size, format } = table;
        if read_only {
            let other = [(swap, "swap"), (create, "create"), (size.is_some(), "size"), (format.is_some(), "format")];
            return match other.into_iter().find(|(given, _)| *given) {
                Some((_, other)) => Err(DiskError::ReadOnly { name, other }),
                None => Ok(Self { name, source, access: Access::ReadOnly }),
            };
        }
        if !create {
            if let Some((_, key)) =
                [(size.is_some(), "size"), (format.is_some(), "format")].iter().find(|(given, _)| *given)
            {
                return Err(DiskError::NotMade { name, key });
            }
        } else if size.is_none() {
            return Err(DiskError::NoSize { name });
        } else if source.logical_volume().is_none() && source.is_device() {
            return Err(DiskError::NotMakable { name, source_path: source.0 });
        }
        let content = match (swap, format) {
            (true, Some(Format::Ext4)) => return Err(DiskError::Swap { name, format: "ext4" }),
            (true, Some(Format::None)) => return Err(DiskError::Swap { name, format: "none" }),
            (true, None) => Content::Swap,
            (false, Some(Format::None)) => Content::Nothing,
            (false, Some(Format::Ext4)) => Content::Ext4,
            (false, None) => Content::default(),
        };
        Ok(Self { name, source, access: Access::Write { content, create: size } })
    }
}

impl From<Disk> for Table {
    fn from(Disk { name, source, access }: Disk) -> Self {
        let (read_only, content, size) = match access {
            Access::ReadOnly => (true, Content::default(), None),
            Access::Write { content, create } => (false, content, create),
        };
        Self {
            name,
            source,
            read_only,
            swap: content == Content::Swap,
            create: size.is_some(),
            size,
            format: (size.is_some() && content == Content::Nothing).then_some(Format::None),
        }
    }
}

/// A disk's name; it is the serial number of a virtio disk, which has 20 bytes (virtio 1.2, 5.2.6).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^[a-z0-9-]{1,20}$")))]
#[serde(try_from = "String", into = "String")]
pub struct DiskName(String);

/// Why a text is no name of a disk.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant says in its message what it means")]
pub enum DiskNameError {
    #[error("found {found:?}, expected 1 to 20 lower-case letters, digits and hyphens")]
    Form { found: String },
    #[error("found {found:?}, which is the name of a disk that the host gives to every guest")]
    Taken { found: String },
}

impl DiskName {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for DiskName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for DiskName {
    type Error = DiskNameError;

    fn try_from(found: String) -> Result<Self, DiskNameError> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        match found.as_str() {
            "root" | "config" => Err(DiskNameError::Taken { found }),
            name if (1..=20).contains(&name.len()) && name.bytes().all(good) => Ok(Self(found)),
            _ => Err(DiskNameError::Form { found }),
        }
    }
}

impl From<DiskName> for String {
    fn from(name: DiskName) -> Self {
        name.0
    }
}

/// The absolute path of a disk, without `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^/.*[^/]$")))]
#[serde(try_from = "String", into = "String")]
pub struct DiskSource(String);

/// A text that names no source of a disk.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("found {found:?}, expected the absolute path of a disk or a file, without . and .. and unprintable characters")]
pub struct DiskSourceError {
    /// The text.
    pub found: String,
}

/// Folders of `/dev` that udev fills, and so are no volume groups.
const NO_GROUPS: [&str; 14] =
    ["block", "bsg", "bus", "char", "cpu", "disk", "dri", "fd", "input", "mapper", "md", "net", "shm", "vfio"];

impl DiskSource {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it lies in `/dev`.
    pub fn is_device(&self) -> bool {
        self.0.starts_with("/dev/")
    }

    /// Group and volume, where the path has the form of a logical volume's.
    pub fn logical_volume(&self) -> Option<(&str, &str)> {
        let (group, volume) = self.0.strip_prefix("/dev/")?.split_once('/')?;
        // lvm(8), "VALID NAMES".
        let good = |name: &str| {
            !name.starts_with('-') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+_.-".contains(&b))
        };
        (good(group) && good(volume) && !NO_GROUPS.contains(&group)).then_some((group, volume))
    }
}

impl TryFrom<String> for DiskSource {
    type Error = DiskSourceError;

    fn try_from(path: String) -> Result<Self, DiskSourceError> {
        let names = path.strip_prefix('/');
        let good = names.is_some_and(|names| names.split('/').all(|name| !matches!(name, "" | "." | "..")))
            && path.len() < 4096
            && !path.chars().any(char::is_control);
        if good { Ok(Self(path)) } else { Err(DiskSourceError { found: path }) }
    }
}

impl From<DiskSource> for String {
    fn from(source: DiskSource) -> Self {
        source.0
    }
}

impl std::fmt::Display for DiskSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
