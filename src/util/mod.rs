//! Helpers that know nothing of images: files, threads, this program's own executable.

pub mod atomic_file;
pub mod bounded_read;
pub mod file_error;
pub mod priority;
pub mod self_exe;
pub mod writeback;
