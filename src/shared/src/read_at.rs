//! Reading a device at a place: what the parsers need of the world, and no more.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// A device, a file or bytes in memory.
pub trait ReadAt {
    /// Fills `buf` with the bytes from `offset` on.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// The number of bytes.
    fn size(&self) -> io::Result<u64>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buf, offset)
    }

    /// By seeking to the end: the metadata of a block device says 0.
    fn size(&self) -> io::Result<u64> {
        let mut file = self;
        file.seek(SeekFrom::End(0))
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let bytes = start.and_then(|start| self.get(start..)?.get(..buf.len()));
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// The `N` bytes at `offset`, or `None` where the device ends before them.
pub fn array_at<const N: usize>(device: &dyn ReadAt, offset: u64) -> io::Result<Option<[u8; N]>> {
    let Some(end) = offset.checked_add(N as u64) else { return Ok(None) };
    if end > device.size()? {
        return Ok(None);
    }
    let mut bytes = [0; N];
    device.read_exact_at(&mut bytes, offset)?;
    Ok(Some(bytes))
}

/// Integers out of a structure that was read whole. `at` is a constant offset
/// inside an array whose length the caller chose, so that it is always there.
macro_rules! integers {
    ($($name:ident $kind:ty, $from:ident;)*) => {$(
        /// The integer at `at`.
        pub fn $name(bytes: &[u8], at: usize) -> $kind {
            const SIZE: usize = size_of::<$kind>();
            let mut value = [0; SIZE];
            if let Some(found) = bytes.get(at..at.saturating_add(SIZE)) {
                value.copy_from_slice(found);
            }
            <$kind>::$from(value)
        }
    )*};
}

integers! {
    le16 u16, from_le_bytes;
    le32 u32, from_le_bytes;
    le64 u64, from_le_bytes;
    be16 u16, from_be_bytes;
    be32 u32, from_be_bytes;
    be64 u64, from_be_bytes;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn reads_inside_and_not_past_the_end() {
        let bytes = vec![1u8, 2, 3, 4];
        assert_eq!(array_at::<2>(&bytes, 2).unwrap(), Some([3, 4]));
        assert_eq!(array_at::<2>(&bytes, 3).unwrap(), None);
        assert_eq!(array_at::<2>(&bytes, u64::MAX).unwrap(), None);
        assert!(ReadAt::read_exact_at(&bytes, &mut [0; 2], 3).is_err());
    }

    #[test]
    fn a_file_tells_its_size() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 1000]).unwrap();
        assert_eq!(ReadAt::size(&file).unwrap(), 1000);
        assert_eq!(array_at::<2>(&file, 998).unwrap(), Some([7, 7]));
    }
}
