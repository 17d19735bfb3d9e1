//! What an archive holds, staged: contents lie in files of their own, names and
//! owners in memory, until [`super::place`] gives them their places.

use crate::tree::{Fingerprint, Metadata, TreePath};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct Entry {
    /// As the archive names it; a symlink may still stand on the way.
    pub path: TreePath,
    pub metadata: Metadata,
    pub kind: EntryKind,
}

#[derive(Debug, Clone)]
pub enum EntryKind {
    Directory,
    /// Content, with the metadata already set on it, in a file to be put into place.
    File {
        staged: PathBuf,
        known: Arc<Fingerprint>,
    },
    Symlink(Vec<u8>),
    /// Another name of an entry before it.
    HardLink(TreePath),
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
