//! The cache: what builds keep so that it is fetched, decompressed, compressed and configured once.
//!
//! This module owns the cache's layout: each kind of content lies in a [`Bucket`], a directory of its own. All of it may go
//! at any time, and none of it changes a byte of an image: content that is not what it was when it was put here is found by
//! its hash, removed and made again.

mod blocks;
mod files;
mod pack;
mod unpacked;
mod usage;

pub use blocks::BlockStore;
pub use files::Kind;
pub(crate) use files::{Claim, Part};
pub use unpacked::{CachingReader, Found, Unpacked};
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
    /// Roots with all packages configured, and the tools, unpacked.
    Trees,
}

impl Bucket {
    /// All that count for the size of the cache.
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

#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("using the cache (another directory may be given with --cache)")]
    Io { source: FileError },
    #[error("found the SHA-256 {found}, expected {expected}")]
    Mismatch { expected: Sha256, found: Sha256 },
}

fn failed<'p>(action: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> CacheError + use<'p> {
    move |source| CacheError::Io { source: FileError::new(action, path, source) }
}

/// `$XDG_CACHE_HOME/applbuild` or `~/.cache/applbuild`.
pub fn default_directory() -> Option<PathBuf> {
    // The XDG base directory specification: a path that is not absolute is to be ignored.
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("applbuild"))
}

impl Cache {
    /// The cache in `directory`, which is made when something is put there.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory of a bucket.
    pub fn bucket(&self, bucket: Bucket) -> PathBuf {
        self.directory.join(bucket.name())
    }

    /// The dates of Release files that were seen, a file for each URL. They are not content, so pruning leaves them.
    fn seen(&self) -> PathBuf {
        self.directory.join("seen")
    }
}
