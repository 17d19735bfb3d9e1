//! The block device that hadris-iso writes to: a file, with some bytes left out and some replaced.

use hadris_io::ErrorType;
use hadris_storage::host::FileDevice;
use hadris_storage::sync::BlockDevice;
use hadris_storage::{BlockIndex, BlockSize};
use std::ops::Range;

/// Bytes that a volume gets in the place of hadris-iso's.
#[derive(Debug, Clone)]
pub struct Patch {
    /// Where they begin, in bytes from the volume's start.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Patch {
    fn touches(&self, start: u64, end: u64) -> bool {
        self.offset < end && self.offset + self.bytes.len() as u64 > start
    }

    /// Puts what of it lies in `buffer`, which is of the bytes from `start` on.
    fn apply(&self, start: u64, buffer: &mut [u8]) {
        for (place, &byte) in (self.offset..).zip(&self.bytes) {
            let within = place.checked_sub(start).and_then(|place| buffer.get_mut(usize::try_from(place).ok()?));
            if let Some(within) = within {
                *within = byte;
            }
        }
    }
}

/// A file that its owner syncs, when all of it is written, and of which parts are not written here.
pub(super) struct Unsynced<'a> {
    pub(super) device: FileDevice,
    /// In ascending order.
    pub(super) left_out: Vec<Range<u64>>,
    pub(super) patches: &'a [Patch],
    pub(super) written: &'a mut dyn FnMut(u64),
}

impl ErrorType for Unsynced<'_> {
    type Error = std::io::Error;
}

impl BlockDevice for Unsynced<'_> {
    fn block_size(&self) -> BlockSize {
        self.device.block_size()
    }

    fn block_count(&self) -> u64 {
        self.device.block_count()
    }

    fn max_block_count(&self) -> u64 {
        self.device.max_block_count()
    }

    fn writable(&self) -> bool {
        self.device.writable()
    }

    fn read_blocks(&mut self, first: BlockIndex, buffer: &mut [u8]) -> Result<(), hadris_io::Error<std::io::Error>> {
        self.device.read_blocks(first, buffer)
    }

    fn write_blocks(&mut self, first: BlockIndex, buffer: &[u8]) -> Result<(), hadris_io::Error<std::io::Error>> {
        let start = first.get() * u64::from(self.block_size().get());
        let end = start + buffer.len() as u64;
        // hadris-iso writes each file by itself, from a block's start, and all in ascending order.
        let before = self.left_out.partition_point(|range| range.end <= start);
        if let Some(left_out) = self.left_out.get(before).filter(|range| range.contains(&start)) {
            // The rest of its last block exists only once a later block is written.
            (self.written)(end.min(left_out.end));
        } else {
            if self.patches.iter().any(|patch| patch.touches(start, end)) {
                let mut patched = buffer.to_vec();
                self.patches.iter().for_each(|patch| patch.apply(start, &mut patched));
                self.device.write_blocks(first, &patched)?;
            } else {
                self.device.write_blocks(first, buffer)?;
            }
            (self.written)(end);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), hadris_io::Error<std::io::Error>> {
        Ok(())
    }
}
