//! Helpers that know nothing of images: files, threads, this program's own executable.

pub mod atomic_file;
pub mod bounded_read;
pub mod chroot_path;
pub mod file_error;
pub mod poison;
pub mod priority;
pub mod self_exe;
pub mod sha256;
pub mod writeback;
