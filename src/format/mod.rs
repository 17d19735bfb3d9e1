//! File system and archive formats. Bytes only: nothing here knows what a profile is.

pub mod boot_code;
pub(crate) mod compression;
pub(crate) mod cpio;
pub mod ext4;
pub mod fat;
mod fat_repairs;
pub mod gpt;
pub mod iso;
pub mod squashfs;
pub mod tar;
pub mod verity;
