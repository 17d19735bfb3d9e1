//! Formats, bytes only: nothing here knows what a profile is.

pub mod cpio;
pub mod fat;
pub mod gpt;
pub mod iso;
pub mod squashfs;
pub mod verity;
