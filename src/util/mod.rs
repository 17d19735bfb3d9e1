//! Helpers that do not depend on images: files, threads, this program's own executable.

pub(crate) mod atomic_file;
pub(crate) mod bounded_read;
pub(crate) mod chroot_path;
pub mod file_error;
pub mod poison;
pub(crate) mod priority;
pub(crate) mod self_exe;
pub mod sha256;
pub(crate) mod writeback;
