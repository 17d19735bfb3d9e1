//! An entry of a tar archive.

use crate::tree::{Metadata, TreePath};
use std::fmt;
use std::io::Read;

/// A member of an archive, with long names and PAX records already applied.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its path below the archive's root.
    pub path: TreePath,
    /// Mode, owner, time and extended attributes.
    pub metadata: Metadata,
    /// Its type, with what only this type has.
    pub kind: EntryKind<'a>,
}

/// The types of entries that are unpacked.
pub enum EntryKind<'a> {
    /// A directory.
    Directory,
    /// `content` gives `length` bytes, or an error; what is left unread is passed over.
    File {
        /// Bytes of the content.
        length: u64,
        /// The content.
        content: &'a mut dyn Read,
    },
    /// Another name of a file that came before in the same archive.
    HardLink(TreePath),
    /// A symlink to this target.
    Symlink(Vec<u8>),
    /// A character device by its numbers.
    CharacterDevice {
        /// Which driver.
        major: u32,
        /// Which of the driver's devices.
        minor: u32,
    },
    /// A block device by its numbers.
    BlockDevice {
        /// Which driver.
        major: u32,
        /// Which of the driver's devices.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

impl fmt::Debug for EntryKind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory => f.write_str("Directory"),
            Self::File { length, .. } => f.debug_struct("File").field("length", length).finish_non_exhaustive(),
            Self::HardLink(target) => f.debug_tuple("HardLink").field(target).finish(),
            Self::Symlink(target) => f.debug_tuple("Symlink").field(&String::from_utf8_lossy(target)).finish(),
            Self::CharacterDevice { major, minor } => write!(f, "CharacterDevice({major}, {minor})"),
            Self::BlockDevice { major, minor } => write!(f, "BlockDevice({major}, {minor})"),
            Self::Fifo => f.write_str("Fifo"),
        }
    }
}
