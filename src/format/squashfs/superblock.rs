//! The superblock: squashfs 4.0, `struct squashfs_super_block`.

use super::Compression;

/// Its size, which is the offset of the compressor's options or of the data.
pub(super) const SIZE: u64 = 96;

/// The offset of a table that the image does not have.
pub(super) const NO_TABLE: u64 = u64::MAX;

const MAGIC: u32 = 0x7371_7368;

/// Set for `unsquashfs -s`. Readers do not need these flags.
const ALWAYS_FRAGMENTS: u16 = 0x20;
const DUPLICATES_REMOVED: u16 = 0x40;
const EXPORTABLE: u16 = 0x80;
/// A metadata block with the compressor's options follows the superblock.
const COMPRESSOR_OPTIONS: u16 = 0x400;

#[derive(Debug)]
pub(super) struct Superblock {
    pub inodes: u32,
    pub time: u32,
    pub block_size: u32,
    pub fragments: u32,
    pub compression: Compression,
    pub has_options: bool,
    pub ids: u16,
    pub root: u64,
    pub bytes_used: u64,
    pub id_table: u64,
    pub xattr_table: u64,
    pub inode_table: u64,
    pub directory_table: u64,
    pub fragment_table: u64,
    pub export_table: u64,
}

impl Superblock {
    pub fn encode(&self) -> Vec<u8> {
        let mut flags = ALWAYS_FRAGMENTS | DUPLICATES_REMOVED | EXPORTABLE;
        if self.has_options {
            flags |= COMPRESSOR_OPTIONS;
        }
        // A block size is at most 2^20.
        let block_log = self.block_size.trailing_zeros() as u16;
        let mut out = Vec::with_capacity(SIZE as usize);
        for word in [MAGIC, self.inodes, self.time, self.block_size, self.fragments] {
            out.extend(word.to_le_bytes());
        }
        let (major, minor) = (4_u16, 0_u16);
        for half in [self.compression.id(), block_log, flags, self.ids, major, minor] {
            out.extend(half.to_le_bytes());
        }
        for place in [
            self.root,
            self.bytes_used,
            self.id_table,
            self.xattr_table,
            self.inode_table,
            self.directory_table,
            self.fragment_table,
            self.export_table,
        ] {
            out.extend(place.to_le_bytes());
        }
        out
    }
}
