//! The space that a layout uses, read from the superblock that mkext4 writes for it: only the writer knows it exactly.

use mkext4::{Layout, RegionSink};
use std::io;

/// Inodes 1 to 11 are special (kernel: Documentation/filesystems/ext4, "Special inodes"). One is the root, a node of
/// the tree.
pub(super) const RESERVED_INODES: u64 = 10;

/// Fields of a superblock (kernel: Documentation/filesystems/ext4, "Super Block").
pub(super) struct SpaceUsage {
    blocks: u64,
    /// Unused blocks.
    free: u64,
    /// Blocks that can never hold files: superblocks, bitmaps, inode tables, the journal.
    overhead: u64,
    pub inodes: u64,
}

impl SpaceUsage {
    pub fn of(layout: &Layout) -> mkext4::Result<Self> {
        let mut superblock = Superblock([0; 1024]);
        layout.writer(&mut superblock)?;
        let field = |at: usize| u64::from(u32::from_le_bytes(std::array::from_fn(|index| superblock.0[at + index])));
        Ok(Self { inodes: field(0), blocks: field(0x4), free: field(0xc), overhead: field(0x248) })
    }

    /// Blocks of files, directories and everything else that depends on the tree.
    pub fn content(&self) -> u64 {
        self.capacity() - self.free
    }

    /// Blocks that can hold content.
    pub fn capacity(&self) -> u64 {
        self.blocks - self.overhead
    }
}

/// Captures the primary superblock and discards all other output.
struct Superblock([u8; 1024]);

impl RegionSink for Superblock {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if let (0, Some(superblock)) = (offset, bytes.get(1024..2048)) {
            self.0.copy_from_slice(superblock);
        }
        Ok(())
    }

    fn zeros(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }
}
