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

#[derive(Debug, Clone)]
pub struct Options {
    /// At most 32 characters; systems show it.
    pub label: String,
    /// Seconds since 1970: when the volume says that it was made.
    pub created: i64,
    pub uuid: VolumeUuid,
    /// A second set of names for systems without Rock Ridge.
    pub joliet: bool,
    pub boot: Option<Boot>,
    /// What lies in the volume's file before the rest is written.
    pub present: Option<Present>,
}

/// A file of the tree whose bytes are in their place already. What comes before
/// it on the volume gets the room up to there.
#[derive(Debug, Clone)]
pub struct Present {
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

#[derive(Debug, thiserror::Error)]
pub enum IsoError {
    #[error("laying out an ISO 9660 volume: {source}")]
    Volume { source: hadris_fs::PathError },
    #[error("ISO 9660 cannot hold {path}: {problem}")]
    Unsupported { path: String, problem: String },
    #[error("reading the content of {path}: {source}")]
    Content { path: TreePath, source: std::io::Error },
    #[error(
        "laying out an ISO 9660 volume: {path} lies at byte {offset}, but what comes before it ends at byte {needed}; shorter kernel arguments and names take less room"
    )]
    Room { path: TreePath, offset: u64, needed: u64 },
    #[error("the time {seconds} (seconds since 1970) does not fit ISO 9660: {source}")]
    Time { seconds: i64, source: hadris_fs::DateTimeError },
    #[error("writing an ISO 9660 volume: {source}")]
    Write { source: std::io::Error },
}

fn time(seconds: i64) -> Result<DateTime, IsoError> {
    DateTime::from_unix_seconds(seconds).map_err(|source| IsoError::Time { seconds, source })
}
