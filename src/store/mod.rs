//! What is kept between builds, so that it is made once: compressed blocks, and packages' files as they are before
//! they are compressed.
//!
//! All of it may go at any time, and none of it changes a byte of an image: an
//! entry that is not what it was when it was put here is found by its hash,
//! thrown away and made again.

mod blocks;
mod pack;
mod unpacked;
mod usage;

pub use blocks::BlockStore;
pub use unpacked::{CachingReader, Found, Unpacked};
pub use usage::{Entry, Pruned, Room, hold, prune, usage};

use crate::util::file_error::FileError;
use std::io;
use std::path::Path;

#[derive(Debug, thiserror::Error)]
#[error("using the cache (another folder may be given with --cache)")]
pub struct StoreError {
    pub source: FileError,
}

fn failed<'p>(action: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> StoreError + use<'p> {
    move |source| StoreError { source: FileError::new(action, path, source) }
}
