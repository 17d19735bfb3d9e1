//! Everything that a machine loads before the root image: the kernel's modules, the initramfs, CPU microcode, the boot
//! entries and GRUB.

pub(crate) mod drivers;
pub(crate) mod entries;
pub mod grub;
pub(crate) mod initramfs;
pub(crate) mod kernel;
pub(crate) mod microcode;
pub(crate) mod modules;

pub use entries::{Entries, Entry};
pub use initramfs::Initramfs;
pub use kernel::Kernels;
