//! The interface of the block cache: keys and hits of compressed blocks.

use super::Compression;
use sha2::{Digest, Sha256};

/// The key of a compressed block: a hash of the uncompressed bytes and of the compression settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockKey(pub [u8; 32]);

impl BlockKey {
    /// The key of other data that is compressed as a unit. `recipe` names the compression rules.
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
    /// Compressed, and smaller than before.
    Compressed,
    /// Stored uncompressed, because compression does not make it smaller.
    Stored,
}

/// A cache of compressed blocks, shared by builds. A hit returns exactly what was stored; in case of doubt it is a
/// miss.
pub trait BlockCache: Sync + std::fmt::Debug {
    /// Whether the block is cached, as far as is known without reading it.
    fn has(&self, key: &BlockKey) -> bool;
    /// Whether the block was compressed speculatively for the current image.
    fn is_new(&self, key: &BlockKey) -> bool;
    /// Looks the block up. The bytes of a compressed block are written to `packed`, which is empty.
    fn get(&self, key: &BlockKey, packed: &mut Vec<u8>) -> Option<Hit>;
    /// Stores a block. `packed` is `None` for a block that is stored uncompressed.
    fn put(&self, key: &BlockKey, packed: Option<&[u8]>);
}

/// A cache that is always empty.
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

/// Part of each key, because another version of a compression library may produce other output.
const LOCK: &str = include_str!("../../../Cargo.lock");
/// Part of each key. Raise it when the rules in `compressor.rs` change.
const RULES: u32 = 2;

fn libraries() -> Sha256 {
    // Cargo.lock does not contain the version of a system zstd.
    Sha256::new_with_prefix(Sha256::digest(LOCK)).chain_update(zstd::zstd_safe::version_number().to_le_bytes())
}

/// Computes the keys for one compression setting.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: Sha256,
}

impl Keys {
    pub fn new(compression: Compression) -> Self {
        let mut prefix = libraries();
        prefix.update(RULES.to_le_bytes());
        let level = match compression {
            Compression::Gzip { level } | Compression::Xz { level } => i64::from(level),
            Compression::Zstd { level } => i64::from(level),
        };
        prefix.update(compression.id().to_le_bytes());
        prefix.update(level.to_le_bytes());
        Self { prefix }
    }

    /// The key of a block that consists of these pieces, each given by its length and the hashes of its chunks.
    pub fn key<'a>(&self, block_size: u32, pieces: impl Iterator<Item = (u32, &'a [[u8; 32]])>) -> BlockKey {
        let mut hash = self.prefix.clone();
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
            // The size of xz's dictionary is the block size.
            key(zstd, 1 << 18, &[(5, &chunk[..1])]),
            key(zstd, 1 << 17, &[(6, &chunk[..1])]),
            key(zstd, 1 << 17, &[(5, &chunk[1..])]),
            key(zstd, 1 << 17, &[(5, &chunk[..1]), (5, &chunk[1..])]),
        ] {
            assert_ne!(one, other);
        }
    }

    /// Cached blocks must equal the compressor's output: if these hashes change and the libraries have not, raise
    /// [`RULES`].
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
