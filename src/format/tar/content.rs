//! The archive as blocks, and the content of one entry within it.

use super::{BLOCK, TarError};
use std::io::{self, ErrorKind, Read};
use tar::Header;

pub struct Blocks<R> {
    reader: R,
    position: u64,
}

impl<R: Read> Blocks<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, position: 0 }
    }

    pub fn position(&self) -> u64 {
        self.position
    }

    pub fn damaged(&self, expected: &'static str) -> TarError {
        TarError::Damaged { offset: self.position, expected }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.reader.read(buffer) {
                Ok(count) => {
                    self.position += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Fills `buffer`. Returns fewer bytes only at the end of the archive.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(source) => return Err(TarError::Read { at: None, source }),
            }
        }
        Ok(filled)
    }

    pub fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), TarError> {
        if self.fill(buffer)? == buffer.len() {
            return Ok(());
        }
        Err(TarError::Truncated { offset: self.position, expected: "the rest of an extended header" })
    }

    /// The next header; `None` at the block of zeros that ends an archive.
    pub fn header(&mut self) -> Result<Option<Header>, TarError> {
        let mut header = Header::new_old();
        let filled = self.fill(header.as_mut_bytes())?;
        if filled < BLOCK as usize {
            return Err(TarError::Truncated {
                offset: self.position,
                expected: "a header or the blocks of zeros at the end",
            });
        }
        let bytes = header.as_bytes();
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // The checksum's own field counts as spaces (POSIX.1-2024 pax, "ustar Interchange Format").
        let sum = |range: &[u8]| range.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        let expected = sum(&bytes[..148]) + 8 * u32::from(b' ') + sum(&bytes[156..]);
        let found = header.cksum().map_err(|_| self.damaged("a header's checksum"))?;
        if found != expected {
            return Err(TarError::CheckSum { offset: self.position, found, expected });
        }
        Ok(Some(header))
    }

    /// Reads to the end: only zeros may follow the archive.
    pub fn expect_end(&mut self) -> Result<(), TarError> {
        let mut buffer = [0; 1 << 15];
        loop {
            let filled = self.fill(&mut buffer)?;
            if buffer[..filled].iter().any(|byte| *byte != 0) {
                return Err(self.damaged("nothing but zeros after the end of the archive"));
            }
            if filled < buffer.len() {
                return Ok(());
            }
        }
    }
}

/// A piece of a file that is stored in the archive. Between pieces a file has zeros.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    pub offset: u64,
    pub length: u64,
}

/// A file's content. Holes are read as zeros.
pub struct Content<'a, R> {
    blocks: &'a mut Blocks<R>,
    /// The remaining pieces, the next one last.
    extents: Vec<Extent>,
    /// The reader's position in the file.
    position: u64,
    length: u64,
    /// Bytes of content in the archive, for the padding.
    stored: u64,
}

impl<'a, R: Read> Content<'a, R> {
    pub fn new(blocks: &'a mut Blocks<R>, mut extents: Vec<Extent>) -> Self {
        let length = extents.last().map_or(0, |last| last.offset + last.length);
        let stored = extents.iter().map(|extent| extent.length).sum();
        extents.reverse();
        Self { blocks, extents, position: 0, length, stored }
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// Skips the unread content and the padding.
    pub fn finish(mut self) -> io::Result<()> {
        let mut left: u64 = self.extents.iter().map(|extent| extent.length).sum();
        left += self.stored.next_multiple_of(BLOCK) - self.stored;
        let mut buffer = [0; 1 << 15];
        while left > 0 {
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            left -= self.stored_bytes(wanted, &mut buffer)? as u64;
        }
        Ok(())
    }

    fn stored_bytes(&mut self, wanted: usize, buffer: &mut [u8]) -> io::Result<usize> {
        match self.blocks.read(&mut buffer[..wanted])? {
            0 => Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                format!("the archive ends at byte {}, within a file's content", self.blocks.position()),
            )),
            count => Ok(count),
        }
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.extents.last().is_some_and(|next| next.length == 0 && next.offset <= self.position) {
            self.extents.pop();
        }
        let Some(next) = self.extents.last().copied() else { return Ok(0) };
        let hole = next.offset.saturating_sub(self.position);
        let available = if hole > 0 { hole } else { next.length };
        let wanted = buffer.len().min(usize::try_from(available).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let count = if hole > 0 {
            buffer[..wanted].fill(0);
            wanted
        } else {
            let count = self.stored_bytes(wanted, buffer)?;
            if let Some(next) = self.extents.last_mut() {
                next.offset += count as u64;
                next.length -= count as u64;
            }
            count
        };
        self.position += count as u64;
        Ok(count)
    }
}
