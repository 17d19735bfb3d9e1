//! A writer of squashfs 4.0 file systems.

/// How data, inodes, fragments and xattrs are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    Gzip { level: u32 },
    Xz { level: u32 },
    Zstd { level: i32 },
}
