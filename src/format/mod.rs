//! Formats, bytes only: nothing here knows what a profile is.

pub mod squashfs;
pub mod verity;
