//! ISO 9660 volumes (ECMA-119) with Rock Ridge, through hadris-iso.

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

/// What a volume is besides its tree.
#[derive(Debug, Clone)]
pub struct Options {
    /// At most 32 characters; systems show it.
    pub label: String,
    /// Seconds since 1970: when the volume says that it was made.
    pub created: i64,
    /// The UUID, which is also the volume's modification date.
    pub uuid: VolumeUuid,
    /// A second set of names for systems without Rock Ridge.
    pub joliet: bool,
    /// What makes it boot; `None` for a volume of data.
    pub boot: Option<Boot>,
    /// What lies in the volume's file before the rest is written.
    pub present: Option<Present>,
}

/// A file of the tree whose bytes are in their place already. What comes before
/// it on the volume gets the room up to there.
#[derive(Debug, Clone)]
pub struct Present {
    /// The file.
    pub path: TreePath,
    /// Where its bytes begin in the volume's file: a multiple of [`BLOCK`].
    pub offset: u64,
}

/// What makes a volume boot, as a disc and as a disk.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The file that a BIOS loads whole from a disc.
    pub bios: TreePath,
    /// The first 440 bytes of a disk's first sector.
    pub mbr: Vec<u8>,
    /// A FAT file system for UEFI, from disc and disk; stored once.
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
    /// What comes before a [`Present`] file does not end where that begins.
    #[error(
        "laying out an ISO 9660 volume: {path} lies at byte {offset}, but what comes before it ends at byte {needed}; shorter kernel arguments and names take less room"
    )]
    Room {
        /// The present file.
        path: TreePath,
        /// Where it begins, in bytes.
        offset: u64,
        /// Where the rest ends, in bytes.
        needed: u64,
    },
    /// A time that ISO 9660 has no date for.
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
