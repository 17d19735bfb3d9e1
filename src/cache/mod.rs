//! The cache: results of earlier builds, so that content is fetched, decompressed, compressed and configured only once.
//!
//! This module owns the cache's layout: each kind of content has a directory of its own, a [`Bucket`]. Any of it may be
//! removed at any time, and none of it changes a byte of an image: damaged content is detected by its hash, removed and
//! created again.

mod blocks;
mod files;
mod pack;
mod unpacked;
mod usage;

pub use blocks::BlockStore;
pub(crate) use files::{Claim, FileKind, Part};
pub(crate) use unpacked::CachedArchive;
pub use unpacked::Unpacked;
pub(crate) use usage::TREE_LOCK;
pub use usage::{Entry, Pruned};

use crate::util::file_error::FileError;
use appliance_contract::Sha256;
use std::io;
use std::path::{Path, PathBuf};

/// The cache in a directory.
#[derive(Debug, Clone)]
pub struct Cache {
    directory: PathBuf,
}

/// A kind of content, and the directory that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bucket {
    /// Packages, by their SHA-256.
    Packages,
    /// Indices of archives, by their SHA-256.
    Indices,
    /// Compressed blocks of squashfs images, in packs.
    Blocks,
    /// The files of packages, decompressed.
    Unpacked,
    /// Roots with all packages configured, and unpacked tools.
    Trees,
}

impl Bucket {
    /// All buckets; they make up the size of the cache.
    pub const ALL: [Self; 5] = [Self::Packages, Self::Indices, Self::Unpacked, Self::Blocks, Self::Trees];

    /// The name of its directory in the cache.
    pub fn name(self) -> &'static str {
        match self {
            Self::Packages => "packages",
            Self::Indices => "indices",
            Self::Unpacked => "unpacked",
            Self::Blocks => "blocks",
            Self::Trees => "trees",
        }
    }
}

/// Why the cache could not be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant says in its message what it means")]
pub enum CacheError {
    #[error("using the cache (another directory may be given with --cache)")]
    Io { source: FileError },
    #[error(
        "{} has the right SHA-256 and {found} bytes, expected {expected}: the size in the lock or in the index is wrong; \
         write it anew: applbuild lock --update",
        path.display()
    )]
    Size { path: PathBuf, found: u64, expected: u64 },
    #[error("found the SHA-256 {found}, expected {expected}")]
    Mismatch { expected: Sha256, found: Sha256 },
}

fn failed<'p>(action: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> CacheError + use<'p> {
    move |source| CacheError::Io { source: FileError::new(action, path, source) }
}

/// `$XDG_CACHE_HOME/applbuild` or `~/.cache/applbuild`.
pub fn default_directory() -> Option<PathBuf> {
    // XDG base directory specification: a relative path must be ignored.
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("applbuild"))
}

impl Cache {
    /// The cache in `directory`, which is created when something is stored in it.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The directory of the cache; it may not exist yet.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory of a bucket.
    pub fn bucket(&self, bucket: Bucket) -> PathBuf {
        self.directory.join(bucket.name())
    }

    /// The directory of the dates of Release files seen, one file for each URL. They are not cached content, so pruning
    /// does not remove them.
    fn seen(&self) -> PathBuf {
        self.directory.join("seen")
    }
}
