//! BLAKE3 hashes of a file's content, chunk by chunk, for the cache.

use blake3::Hasher;
use std::io::{self, Read};
use std::sync::LazyLock;

/// Bytes that one hash is of: the smallest block of squashfs, so that a block
/// of any size is known by whole hashes.
pub const CHUNK: usize = 128 << 10;

static ZEROS: LazyLock<[u8; 32]> = LazyLock::new(|| hash(&[0; CHUNK]));

/// What a file's content is known by without its being read again. It stays on this machine: hence BLAKE3, which takes a
/// fraction of SHA-256's time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprint {
    /// Bytes of the content.
    pub length: u64,
    /// BLAKE3 of each [`CHUNK`] bytes; the last is of what is left.
    pub chunks: Vec<[u8; 32]>,
    /// How the content begins, filled up with zeros.
    pub head: [u8; 8],
}

impl Fingerprint {
    /// Reads all that `reader` has.
    pub fn of(mut reader: impl Read) -> io::Result<Self> {
        let mut taken = Fingerprinter::default();
        let mut buffer = vec![0; CHUNK];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(taken.finish()),
                Ok(count) => taken.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// One hash for the whole.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Hasher::new();
        hash.update(&self.length.to_le_bytes());
        hash.update(self.chunks.as_flattened());
        hash.finalize().into()
    }
}

/// Takes a fingerprint of bytes as they pass by.
#[derive(Debug, Default)]
pub struct Fingerprinter {
    found: Fingerprint,
    /// Of the chunk that is not full yet.
    hash: Hasher,
    filled: usize,
}

impl Fingerprinter {
    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let begun = usize::try_from(self.found.length).unwrap_or(usize::MAX);
        if let Some(head) = self.found.head.get_mut(begun..) {
            let count = head.len().min(bytes.len());
            head[..count].copy_from_slice(&bytes[..count]);
        }
        self.found.length += bytes.len() as u64;
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(CHUNK - self.filled));
            self.hash.update(part);
            self.filled += part.len();
            bytes = rest;
            if self.filled == CHUNK {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        self.found.chunks.push(self.hash.finalize().into());
        self.hash.reset();
        self.filled = 0;
    }

    /// The fingerprint of all that was taken.
    pub fn finish(mut self) -> Fingerprint {
        if self.filled > 0 {
            self.close();
        }
        self.found
    }
}

/// The hash of a chunk.
pub fn hash(chunk: &[u8]) -> [u8; 32] {
    blake3::hash(chunk).into()
}

/// Whether a whole chunk with this hash holds nothing but zeros.
pub fn is_zeros(hash: &[u8; 32]) -> bool {
    *hash == *ZEROS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_hashed_apart() {
        let bytes: Vec<u8> = (0..2 * CHUNK + 5).map(|place| (place % 251) as u8).collect();
        let found = Fingerprint::of(bytes.as_slice()).unwrap();
        let expected: Vec<[u8; 32]> = bytes.chunks(CHUNK).map(hash).collect();
        assert_eq!((found.length, &found.chunks), (bytes.len() as u64, &expected));
        assert_eq!(found.head, [0, 1, 2, 3, 4, 5, 6, 7]);
        let mut other = bytes.clone();
        other[CHUNK] ^= 1;
        let other = Fingerprint::of(other.as_slice()).unwrap();
        assert_eq!(other.chunks[0], found.chunks[0]);
        assert_ne!(other.digest(), found.digest());
    }

    #[test]
    fn pieces_of_any_size_come_to_the_same() {
        let bytes: Vec<u8> = (0..2 * CHUNK + 5).map(|place| (place % 251) as u8).collect();
        for end in [0, 1, 3, 8, 9, CHUNK - 1, CHUNK, CHUNK + 1, bytes.len()] {
            let whole = Fingerprint::of(&bytes[..end]).unwrap();
            for size in [1, 7, 4096, CHUNK, CHUNK + 1] {
                let mut taken = Fingerprinter::default();
                bytes[..end].chunks(size).for_each(|piece| taken.update(piece));
                assert_eq!(taken.finish(), whole, "{end} bytes in pieces of {size}");
            }
        }
    }

    #[test]
    fn knows_zeros_and_nothing() {
        let zeros = Fingerprint::of([0; CHUNK].as_slice()).unwrap();
        assert!(is_zeros(&zeros.chunks[0]));
        assert_eq!(Fingerprint::of(io::empty()).unwrap(), Fingerprint::default());
        let short = Fingerprint::of([0; 9].as_slice()).unwrap();
        assert!(!is_zeros(&short.chunks[0]));
    }
}
