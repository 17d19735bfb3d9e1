use crate::tree::TreePath;
use std::io;

/// Why a tree could not be written as squashfs.
#[derive(Debug, thiserror::Error)]
pub enum SquashfsError {
    #[error("squashfs block size {found}: expected a power of two from 131072 to 1048576")]
    BlockSize { found: u32 },
    #[error("squashfs {algorithm} level {found}: expected {least} to {most}")]
    Level { algorithm: &'static str, found: i64, least: i64, most: i64 },
    #[error("packing {path}: its time {found} does not fit, squashfs holds 0 to 4294967295 seconds since 1970")]
    Time { path: TreePath, found: i64 },
    #[error(
        "packing {path}: squashfs has no place for the POSIX ACL in attribute {attribute}; remove it (setfacl -b) or set it at boot (tmpfiles.d)"
    )]
    Acl { path: TreePath, attribute: String },
    #[error("packing {path}: attribute {attribute} is of no namespace that squashfs holds (user, trusted, security)")]
    AttributeNamespace { path: TreePath, attribute: String },
    #[error(
        "packing {path}: attribute {attribute} has a name of {name} and a value of {value} bytes, at most 255 and 65536 fit"
    )]
    AttributeSize { path: TreePath, attribute: String, name: usize, value: usize },
    #[error("packing {path}: a symlink of {length} bytes, Linux follows 1 to 4095")]
    Symlink { path: TreePath, length: usize },
    #[error("packing {path}: device {major}:{minor} does not fit, at most 4095:1048575 does")]
    Device { path: TreePath, major: u32, minor: u32 },
    #[error("packing {path}: more than 65535 different user and group numbers, squashfs holds no more")]
    TooManyIds { path: TreePath },
    #[error("packing {path}: its entries take {found} bytes, at most {most} fit")]
    DirectorySize { path: TreePath, found: usize, most: u32 },
    #[error("packing {found} files: squashfs holds at most 4294967294")]
    TooManyNodes { found: usize },
    #[error("packing {path}: the {table} table of the image has outgrown the 4 GiB that its references reach")]
    TableSize { path: TreePath, table: &'static str },
    #[error("packing {path}: reading its content")]
    Read { path: TreePath, source: io::Error },
    #[error("packing {path}: it changed meanwhile: found {found} bytes, expected {expected}")]
    Resized { path: TreePath, expected: u64, found: u64 },
    #[error("packing {path}: it changed meanwhile: two readings of its {length} bytes differ")]
    Changed { path: TreePath, length: u64 },
    #[error("compressing {length} bytes for a squashfs image: {message}")]
    Compress { length: usize, message: String },
    #[error("writing a squashfs image")]
    Write(#[from] io::Error),
}
