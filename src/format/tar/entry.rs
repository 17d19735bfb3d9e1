use crate::tree::{Metadata, TreePath};
use std::fmt;
use std::io::Read;

/// A member of an archive, with long names and PAX records already applied.
#[derive(Debug)]
pub struct Entry<'a> {
    pub path: TreePath,
    pub metadata: Metadata,
    pub kind: EntryKind<'a>,
}

pub enum EntryKind<'a> {
    Directory,
    /// `content` gives `length` bytes, or an error; what is left unread is passed over.
    File {
        length: u64,
        content: &'a mut dyn Read,
    },
    /// Another name of a file that came before in the same archive.
    HardLink(TreePath),
    Symlink(Vec<u8>),
    CharacterDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
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
