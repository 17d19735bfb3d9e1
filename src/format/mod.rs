//! Formats, bytes only: nothing here knows what a profile is.

pub mod compression;
pub mod squashfs;
pub mod tar;
pub mod verity;
