//! The interface of the block cache: keys and hits of compressed blocks.

use super::Compression;
use sha2::{Digest, Sha256};

/// What a compressed block is known by: its bytes before, and how it was compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockKey(pub [u8; 32]);

impl BlockKey {
    /// The key of what else is compressed as one, by the rules that `recipe` names.
    pub fn of(recipe: &str, bytes: &[u8]) -> Self {
        let mut hash = libraries();
        hash.update((recipe.len() as u64).to_le_bytes());
        hash.update(recipe);
        hash.update(bytes);
        Self(hash.finalize().into())
    }
}

/// A cached block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hit {
    /// Compressed, which made it smaller.
    Compressed,
    /// Stored as it is: compressing it gained nothing.
    Stored,
}

/// Keeps compressed blocks from one image to the next. What it gives back
/// must be what it was given: a keeper that is not sure has none.
pub trait BlockCache: Sync + std::fmt::Debug {
    /// Whether there is such a block, as far as can be told without reading it.
    fn has(&self, key: &BlockKey) -> bool;
    /// Whether the block is one that was made ahead, for this very image.
    fn is_new(&self, key: &BlockKey) -> bool;
    /// Fills `packed`, which is empty, where the block is a packed one.
    fn get(&self, key: &BlockKey, packed: &mut Vec<u8>) -> Option<Hit>;
    /// `packed` is `None` for a block that is stored as it is.
    fn put(&self, key: &BlockKey, packed: Option<&[u8]>);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoCache;

impl BlockCache for NoCache {
    fn has(&self, _: &BlockKey) -> bool {
        false
    }

    fn is_new(&self, _: &BlockKey) -> bool {
        false
    }

    fn get(&self, _: &BlockKey, _: &mut Vec<u8>) -> Option<Hit> {
        None
    }

    fn put(&self, _: &BlockKey, _: Option<&[u8]>) {}
}

/// Changes with whatever may change a compressor's output: the libraries, by
/// the versions that this program was built with, and the compressor's own
/// rules, by a number to be raised with them.
const LOCK: &str = include_str!("../../../Cargo.lock");
const RULES: u32 = 2;

fn libraries() -> Sha256 {
    // The lock does not say what a zstd of the system's is.
    Sha256::new_with_prefix(Sha256::digest(LOCK)).chain_update(zstd::zstd_safe::version_number().to_le_bytes())
}

/// Makes keys for one way of compressing.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    begun: Sha256,
}

impl Keys {
    pub fn new(compression: Compression) -> Self {
        let mut begun = libraries();
        begun.update(RULES.to_le_bytes());
        let level = match compression {
            Compression::Gzip { level } | Compression::Xz { level } => i64::from(level),
            Compression::Zstd { level } => i64::from(level),
        };
        begun.update(compression.id().to_le_bytes());
        begun.update(level.to_le_bytes());
        Self { begun }
    }

    /// The key of a block that is made of these pieces: lengths, and hashes of chunks.
    pub fn key<'a>(&self, block_size: u32, pieces: impl Iterator<Item = (u32, &'a [[u8; 32]])>) -> BlockKey {
        let mut hash = self.begun.clone();
        hash.update(block_size.to_le_bytes());
        for (length, chunks) in pieces {
            hash.update(length.to_le_bytes());
            chunks.iter().for_each(|chunk| hash.update(chunk));
        }
        BlockKey(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::squashfs::compressor::{Compressor, Purpose};

    #[test]
    fn whatever_changes_the_bytes_changes_the_key() {
        let key =
            |compression, size, pieces: &[(u32, &[[u8; 32]])]| Keys::new(compression).key(size, pieces.iter().copied());
        let (zstd, chunk) = (Compression::Zstd { level: 3 }, [[1; 32], [2; 32]]);
        let one = key(zstd, 1 << 17, &[(5, &chunk[..1])]);
        assert_eq!(one, key(zstd, 1 << 17, &[(5, &chunk[..1])]));
        for other in [
            key(Compression::Zstd { level: 4 }, 1 << 17, &[(5, &chunk[..1])]),
            key(Compression::Gzip { level: 3 }, 1 << 17, &[(5, &chunk[..1])]),
            // xz's dictionary is of the block's size.
            key(zstd, 1 << 18, &[(5, &chunk[..1])]),
            key(zstd, 1 << 17, &[(6, &chunk[..1])]),
            key(zstd, 1 << 17, &[(5, &chunk[1..])]),
            key(zstd, 1 << 17, &[(5, &chunk[..1]), (5, &chunk[1..])]),
        ] {
            assert_ne!(one, other);
        }
    }

    /// Cached blocks stand for what the compressor would make: when these hashes
    /// change and the libraries have not, raise [`RULES`].
    #[test]
    fn the_rules_are_those_of_the_number() {
        let text: Vec<u8> = (0..9000_u32).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
        let noise: Vec<u8> =
            (0..40_000_u64).map(|n| (n.wrapping_mul(n).wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
        let sum = |compression| {
            let mut compressor = Compressor::new(compression, Purpose::Data(1 << 17)).unwrap();
            let (mut hash, mut packed) = (Sha256::new(), Vec::new());
            for block in [&text[..], &noise] {
                hash.update([u8::from(compressor.compress(&block[..block.len().min(1 << 17)], &mut packed).unwrap())]);
                hash.update(&packed);
            }
            hex::encode(&hash.finalize()[..8])
        };
        assert_eq!(
            [
                sum(Compression::Zstd { level: 3 }),
                sum(Compression::Zstd { level: 15 }),
                sum(Compression::Gzip { level: 9 }),
                sum(Compression::Xz { level: 6 })
            ],
            ["7bd7333bb4cc8786", "f95856faa22b87b3", "811d4d7f84226a38", "e5d66534b64f9654"]
        );
    }
}
