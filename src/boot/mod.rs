//! What a machine loads before the root image: the kernel's modules, the
//! initramfs, CPU microcode, the boot entries and GRUB.

pub mod drivers;
pub mod entries;
pub mod grub;
pub mod initramfs;
pub mod kernel;
pub mod microcode;
pub mod modules;

pub use entries::{Entries, Entry};
pub use initramfs::Initramfs;
pub use kernel::Kernels;
