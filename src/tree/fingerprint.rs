use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::sync::LazyLock;

/// Bytes that one hash is of: the smallest block of squashfs, so that a block
/// of any size is known by whole hashes.
pub const CHUNK: usize = 128 << 10;

static ZEROS: LazyLock<[u8; 32]> = LazyLock::new(|| Sha256::digest(vec![0; CHUNK]).into());

/// What a file's content is known by without its being read again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprint {
    pub length: u64,
    /// SHA-256 of each [`CHUNK`] bytes; the last is of what is left.
    pub chunks: Vec<[u8; 32]>,
    /// How the content begins, filled up with zeros.
    pub head: [u8; 8],
}

impl Fingerprint {
    /// Reads all that `reader` has.
    pub fn of(mut reader: impl Read) -> io::Result<Self> {
        let mut found = Self::default();
        let mut buffer = Vec::with_capacity(CHUNK);
        loop {
            buffer.clear();
            let count = (&mut reader).take(CHUNK as u64).read_to_end(&mut buffer)?;
            if count == 0 {
                return Ok(found);
            }
            if found.length == 0 {
                let head = count.min(found.head.len());
                found.head[..head].copy_from_slice(&buffer[..head]);
            }
            found.length += count as u64;
            found.chunks.push(hash(&buffer));
            if count < CHUNK {
                return Ok(found);
            }
        }
    }

    /// One hash for the whole.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.length.to_le_bytes());
        self.chunks.iter().for_each(|chunk| hash.update(chunk));
        hash.finalize().into()
    }
}

/// SHA-256 of a chunk.
pub fn hash(chunk: &[u8]) -> [u8; 32] {
    Sha256::digest(chunk).into()
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
    fn knows_zeros_and_nothing() {
        let zeros = Fingerprint::of([0; CHUNK].as_slice()).unwrap();
        assert!(is_zeros(&zeros.chunks[0]));
        assert_eq!(Fingerprint::of(io::empty()).unwrap(), Fingerprint::default());
        let short = Fingerprint::of([0; 9].as_slice()).unwrap();
        assert!(!is_zeros(&short.chunks[0]));
    }
}
