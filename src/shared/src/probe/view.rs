//! A device whose first bytes are read once.

use crate::read_at::{ReadAt, array_at};
use std::io;

/// Where btrfs's superblock ends (64 KiB + 4 KiB): the last of those at a fixed place near the start.
const HEAD: u64 = 68 * 1024;

/// A device with its first bytes read once.
pub struct View<'a> {
    device: &'a dyn ReadAt,
    head: Vec<u8>,
    size: u64,
}

impl<'a> View<'a> {
    pub fn new(device: &'a dyn ReadAt) -> io::Result<Self> {
        let size = device.size()?;
        let mut head = vec![0; size.min(HEAD) as usize];
        device.read_exact_at(&mut head, 0)?;
        Ok(Self { device, head, size })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn device(&self) -> &dyn ReadAt {
        self.device
    }

    /// The `N` bytes at `offset`, or `None` where the device ends before them.
    pub fn at<const N: usize>(&self, offset: u64) -> io::Result<Option<[u8; N]>> {
        let cached = usize::try_from(offset).ok().and_then(|offset| self.head.get(offset..)?.first_chunk::<N>());
        match cached {
            Some(bytes) => Ok(Some(*bytes)),
            None => array_at(self.device, offset),
        }
    }

    pub fn has(&self, offset: usize, magic: &[u8]) -> bool {
        self.head.get(offset..).is_some_and(|bytes| bytes.starts_with(magic))
    }

    pub fn is_zero(&self) -> bool {
        self.head.iter().all(|&byte| byte == 0)
    }
}
