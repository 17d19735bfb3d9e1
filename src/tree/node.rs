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

#[derive(Debug, Clone)]
pub struct Node {
    pub metadata: Metadata,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub enum Kind {
    Directory(BTreeMap<Vec<u8>, NodeId>),
    File(Content),
    Symlink(Vec<u8>),
    CharacterDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Fifo,
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
    pub fn directory(metadata: Metadata) -> Self {
        Self { metadata, kind: Kind::Directory(BTreeMap::new()) }
    }

    pub fn file(metadata: Metadata, content: Content) -> Self {
        Self { metadata, kind: Kind::File(content) }
    }

    /// A symlink; its mode is 777, as Linux shows it.
    pub fn symlink(target: impl Into<Vec<u8>>, mtime: i64) -> Self {
        Self { metadata: Metadata::new(0o777).with_mtime(mtime), kind: Kind::Symlink(target.into()) }
    }
}
