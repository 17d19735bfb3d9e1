//! Why a tree could not be written as squashfs.

use crate::tree::TreePath;
use std::io;

/// Why a tree could not be written as squashfs.
#[derive(Debug, thiserror::Error)]
pub enum SquashfsError {
    /// The block size is none that the format has.
    #[error("squashfs block size {found}: expected a power of two from 131072 to 1048576")]
    BlockSize {
        /// Bytes, as they were given.
        found: u32,
    },
    /// The compression level is none that the algorithm has.
    #[error("squashfs {algorithm} level {found}: expected {least} to {most}")]
    Level {
        /// The algorithm's name.
        algorithm: &'static str,
        /// The level as it was given.
        found: i64,
        /// The lowest level.
        least: i64,
        /// The highest level.
        most: i64,
    },
    /// A time before 1970 or after 2106.
    #[error("packing {path}: its time {found} does not fit, squashfs holds 0 to 4294967295 seconds since 1970")]
    Time {
        /// The node.
        path: TreePath,
        /// Seconds since 1970.
        found: i64,
    },
    /// POSIX ACLs, which squashfs keeps in no attribute.
    #[error(
        "packing {path}: squashfs has no place for the POSIX ACL in attribute {attribute}; remove it (setfacl -b) or set it at boot (tmpfiles.d)"
    )]
    Acl {
        /// The node.
        path: TreePath,
        /// The attribute's name.
        attribute: String,
    },
    /// An attribute of another namespace.
    #[error("packing {path}: attribute {attribute} is of no namespace that squashfs holds (user, trusted, security)")]
    AttributeNamespace {
        /// The node.
        path: TreePath,
        /// The attribute's name.
        attribute: String,
    },
    /// An attribute whose name or value is too long.
    #[error(
        "packing {path}: attribute {attribute} has a name of {name} and a value of {value} bytes, at most 255 and 65536 fit"
    )]
    AttributeSize {
        /// The node.
        path: TreePath,
        /// The attribute's name.
        attribute: String,
        /// Bytes of the name.
        name: usize,
        /// Bytes of the value.
        value: usize,
    },
    /// A symlink's target is empty or too long.
    #[error("packing {path}: a symlink of {length} bytes, Linux follows 1 to 4095")]
    Symlink {
        /// The symlink.
        path: TreePath,
        /// Bytes of the target.
        length: usize,
    },
    /// A device's numbers do not fit 12 and 20 bits.
    #[error("packing {path}: device {major}:{minor} does not fit, at most 4095:1048575 does")]
    Device {
        /// The device.
        path: TreePath,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// The id table is full.
    #[error("packing {path}: more than 65535 different user and group numbers, squashfs holds no more")]
    TooManyIds {
        /// The node whose owner does not fit.
        path: TreePath,
    },
    /// A directory's listing is too long.
    #[error("packing {path}: its entries take {found} bytes, at most {most} fit")]
    DirectorySize {
        /// The directory.
        path: TreePath,
        /// Its bytes.
        found: usize,
        /// The bytes that fit.
        most: u32,
    },
    /// Inode numbers have 32 bits.
    #[error("packing {found} files: squashfs holds at most 4294967294")]
    TooManyNodes {
        /// Nodes of the tree.
        found: usize,
    },
    /// A table's references have 32 bits.
    #[error("packing {path}: the {table} table of the image has outgrown the 4 GiB that its references reach")]
    TableSize {
        /// The node that does not fit.
        path: TreePath,
        /// The table's name.
        table: &'static str,
    },
    /// A file's content cannot be read.
    #[error("packing {path}: reading its content")]
    Read {
        /// The file in the tree.
        path: TreePath,
        /// The system's error.
        source: io::Error,
    },
    /// A file's content has another length than the tree says.
    #[error("packing {path}: it changed meanwhile: found {found} bytes, expected {expected}")]
    Resized {
        /// The file in the tree.
        path: TreePath,
        /// Bytes that the tree says.
        expected: u64,
        /// Bytes that were read.
        found: u64,
    },
    /// A file's content changed between two readings.
    #[error("packing {path}: it changed meanwhile: two readings of its {length} bytes differ")]
    Changed {
        /// The file in the tree.
        path: TreePath,
        /// Its bytes.
        length: u64,
    },
    /// The compressor failed.
    #[error("compressing {length} bytes for a squashfs image: {message}")]
    Compress {
        /// Bytes that were to be compressed.
        length: usize,
        /// The compressor's message.
        message: String,
    },
    /// The image cannot be written.
    #[error("writing a squashfs image")]
    Write(#[from] io::Error),
}
