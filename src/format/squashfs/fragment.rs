//! Fragment blocks: the ends of files, and small files, several per block.

/// An entry of the fragment table (`struct squashfs_fragment_entry`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FragmentEntry {
    pub start: u64,
    /// As in an inode.
    pub size: u32,
}

impl FragmentEntry {
    pub fn encode(self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.start.to_le_bytes());
        out[8..12].copy_from_slice(&self.size.to_le_bytes());
        out
    }
}

/// The location of a file's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FragmentRef {
    pub index: u32,
    pub offset: u32,
}

/// The value for a file without an end in a fragment block.
pub(super) const NO_FRAGMENT: FragmentRef = FragmentRef { index: u32::MAX, offset: 0 };
