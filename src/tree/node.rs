//! Nodes of a tree: what `stat` and `readlink` would say of a file.

use super::{Content, Metadata};
use std::collections::BTreeMap;

/// A node of one [`super::Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(super) usize);

impl NodeId {
    /// Below [`super::Tree::node_count`]: for tables beside the tree.
    pub fn index(self) -> usize {
        self.0
    }
}

/// A file of any type. Its names are the directory entries that refer to it.
#[derive(Debug, Clone)]
pub struct Node {
    /// Mode, owner, time and extended attributes.
    pub metadata: Metadata,
    /// The file's type, with what only this type has.
    pub kind: Kind,
}

/// The types of files that Linux has.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Entries by name; the order is that of the names' bytes.
    Directory(BTreeMap<Vec<u8>, NodeId>),
    /// A regular file.
    File(Content),
    /// The target, which need not exist.
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
    /// A Unix socket's name.
    Socket,
}

impl Kind {
    /// What a message calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Directory(_) => "a directory",
            Self::File(_) => "a file",
            Self::Symlink(_) => "a symlink",
            Self::CharacterDevice { .. } => "a character device",
            Self::BlockDevice { .. } => "a block device",
            Self::Fifo => "a fifo",
            Self::Socket => "a socket",
        }
    }
}

impl Node {
    /// An empty directory.
    pub fn directory(metadata: Metadata) -> Self {
        Self { metadata, kind: Kind::Directory(BTreeMap::new()) }
    }

    /// A regular file.
    pub fn file(metadata: Metadata, content: Content) -> Self {
        Self { metadata, kind: Kind::File(content) }
    }

    /// A symlink; its mode is 777, as Linux shows it.
    pub fn symlink(target: impl Into<Vec<u8>>, mtime: i64) -> Self {
        Self { metadata: Metadata::new(0o777).with_mtime(mtime), kind: Kind::Symlink(target.into()) }
    }
}
