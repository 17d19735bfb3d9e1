//! Metadata blocks: 8 KiB of a table, compressed, after a 16-bit length.

use super::SquashfsError;
use super::compressor::Compressor;

/// Bytes in one block before compression (`SQUASHFS_METADATA_SIZE`).
pub(super) const BLOCK: usize = 8192;

/// Set in the length of a block that is stored uncompressed.
const STORED: u16 = 0x8000;

/// A reference to a byte in a table of metadata blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct MetadataRef {
    /// Offset of the block in the table.
    pub block: u64,
    /// Offset in the uncompressed block.
    pub offset: u16,
}

impl MetadataRef {
    /// Block and offset in one number, as in inode and xattr references.
    pub fn reference(self) -> u64 {
        self.block << 16 | u64::from(self.offset)
    }
}

/// A table under construction, compressed in memory.
#[derive(Debug)]
pub(super) struct MetadataWriter {
    compressor: Compressor,
    pending: Vec<u8>,
    packed: Vec<u8>,
    done: Vec<u8>,
    starts: Vec<u64>,
}

impl MetadataWriter {
    pub fn new(compressor: Compressor) -> Self {
        Self {
            compressor,
            pending: Vec::with_capacity(BLOCK),
            packed: Vec::new(),
            done: Vec::new(),
            starts: Vec::new(),
        }
    }

    /// The position of the next byte.
    pub fn position(&self) -> MetadataRef {
        // A full block is flushed at once, so the offset is below 8192.
        MetadataRef { block: self.done.len() as u64, offset: self.pending.len() as u16 }
    }

    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), SquashfsError> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.pending.len()));
            self.pending.extend_from_slice(now);
            if self.pending.len() == BLOCK {
                self.flush()?;
            }
            bytes = later;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SquashfsError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.starts.push(self.done.len() as u64);
        let smaller = self.compressor.compress(&self.pending, &mut self.packed)?;
        let (bytes, mark) = if smaller { (&self.packed, 0) } else { (&self.pending, STORED) };
        self.done.extend((bytes.len() as u16 | mark).to_le_bytes());
        self.done.extend_from_slice(bytes);
        self.pending.clear();
        Ok(())
    }

    /// Returns the table and the offsets of its blocks.
    pub fn finish(mut self) -> Result<(Vec<u8>, Vec<u64>), SquashfsError> {
        self.flush()?;
        Ok((self.done, self.starts))
    }
}

/// `bytes` as one uncompressed block.
pub(super) fn stored(bytes: &[u8]) -> Vec<u8> {
    // Callers store compressor options: at most 8 bytes.
    let mut block = (bytes.len() as u16 | STORED).to_le_bytes().to_vec();
    block.extend_from_slice(bytes);
    block
}
