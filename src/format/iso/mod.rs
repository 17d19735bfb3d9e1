//! ISO 9660 volumes (ECMA-119) with Rock Ridge, written by hadris-iso.

mod convert;
mod device;
#[cfg(test)]
mod tests;
mod uuid;
mod volume;

pub use device::Patch;
pub use uuid::VolumeUuid;
pub use volume::{Layout, Volume};

use crate::tree::TreePath;
use hadris_fs::DateTime;

/// Bytes of a logical block.
pub const BLOCK: u64 = 2048;

/// Properties of a volume apart from its files.
#[derive(Debug, Clone)]
pub struct Options {
    /// At most 32 characters; systems show it.
    pub label: String,
    /// The creation date, in seconds since 1970.
    pub created: i64,
    /// The UUID, which is also the volume's modification date.
    pub uuid: VolumeUuid,
    /// Adds a second set of names, for systems without Rock Ridge.
    pub joliet: bool,
    /// The boot data; `None` for a volume that does not boot.
    pub boot: Option<Boot>,
    /// A file whose content is in the volume's file before the rest is written.
    pub in_place: Option<InPlaceFile>,
}

/// A file of the tree whose content is already at its final offset. Everything before it must fit into the space up to
/// there.
#[derive(Debug, Clone)]
pub struct InPlaceFile {
    /// The file.
    pub path: TreePath,
    /// The offset of its content in the volume's file: a multiple of [`BLOCK`].
    pub offset: u64,
}

/// The boot data of a volume, which boots from CD and from disk.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The boot image that a BIOS loads from CD (El Torito).
    pub bios: TreePath,
    /// The first 440 bytes of a disk's first sector.
    pub mbr: Vec<u8>,
    /// The EFI system partition, a FAT file system. CD and disk share it.
    pub esp: Vec<u8>,
}

/// Why a tree cannot be written as an ISO 9660 volume.
#[derive(Debug, thiserror::Error)]
pub enum IsoError {
    /// hadris-iso refuses the tree.
    #[error("laying out an ISO 9660 volume")]
    Volume {
        /// Its error.
        source: hadris_fs::PathError,
    },
    /// Something would be lost.
    #[error("ISO 9660 cannot hold {path}: {problem}")]
    Unsupported {
        /// The entry, as text.
        path: String,
        /// What would be lost.
        problem: String,
    },
    /// A file's content cannot be read.
    #[error("reading the content of {path}")]
    Content {
        /// The file in the tree.
        path: TreePath,
        /// The system's error.
        source: std::io::Error,
    },
    /// The data before an [`InPlaceFile`] does not end where the file begins.
    #[error(
        "laying out an ISO 9660 volume: {path} is at byte {offset}, but the data before it ends at byte {needed}; shorten kernel arguments and names"
    )]
    Overlap {
        /// The file.
        path: TreePath,
        /// Its offset, in bytes.
        offset: u64,
        /// The end of the data before it, in bytes.
        needed: u64,
    },
    /// A time that ISO 9660 cannot store.
    #[error("the time {seconds} (seconds since 1970) does not fit ISO 9660")]
    Time {
        /// The time, in seconds since 1970.
        seconds: i64,
        /// hadris-fs's error.
        source: hadris_fs::DateTimeError,
    },
    /// The volume's file cannot be written.
    #[error("writing an ISO 9660 volume")]
    Write {
        /// The system's error.
        source: std::io::Error,
    },
}

fn time(seconds: i64) -> Result<DateTime, IsoError> {
    DateTime::from_unix_seconds(seconds).map_err(|source| IsoError::Time { seconds, source })
}
