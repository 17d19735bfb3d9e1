//! Mode, owner, time and extended attributes of a node.

use std::collections::BTreeMap;

/// What a node is besides its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits, with set-id and sticky: at most 0o7777.
    pub mode: u16,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Full names, with the `user.`, `security.` … prefix.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Metadata {
    /// Root's, of 1970, without extended attributes.
    pub fn new(mode: u16) -> Self {
        Self { mode: mode & 0o7777, uid: 0, gid: 0, mtime: 0, xattrs: BTreeMap::new() }
    }

    /// With another modification time, in seconds since 1970.
    pub fn with_mtime(mut self, mtime: i64) -> Self {
        self.mtime = mtime;
        self
    }

    /// With another owner and group.
    pub fn with_owner(mut self, uid: u32, gid: u32) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }
}
