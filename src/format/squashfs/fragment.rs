//! Fragment blocks: the ends of files, and small files, many to a block.

/// An entry of the fragment table (`struct squashfs_fragment_entry`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FragmentEntry {
    pub start: u64,
    /// As [`super::data::stored_size`] has it.
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

/// Where the end of a file lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FragmentPlace {
    pub index: u32,
    pub offset: u32,
}

/// A file without an end in a fragment block says so in its index.
pub(super) const NO_FRAGMENT: FragmentPlace = FragmentPlace { index: u32::MAX, offset: 0 };
