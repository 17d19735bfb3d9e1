//! Why a tree could not be written as squashfs.

use crate::tree::TreePath;
use std::io;

/// Why a tree could not be written as squashfs.
#[derive(Debug, thiserror::Error)]
pub enum SquashfsError {
    /// The format does not have the block size.
    #[error("squashfs block size {found}: expected a power of two from 131072 to 1048576")]
    BlockSize {
        /// Bytes, as they were given.
        found: u32,
    },
    /// The algorithm does not have the compression level.
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
    #[error("packing {path}: its time {found} is out of range, expected 0 to 4294967295 seconds since 1970")]
    Time {
        /// The node.
        path: TreePath,
        /// Seconds since 1970.
        found: i64,
    },
    /// A POSIX ACL, which squashfs cannot store.
    #[error(
        "packing {path}: squashfs cannot store the POSIX ACL in attribute {attribute}; remove it (setfacl -b) or set it at boot (tmpfiles.d)"
    )]
    Acl {
        /// The node.
        path: TreePath,
        /// The attribute's name.
        attribute: String,
    },
    /// An attribute of another namespace.
    #[error(
        "packing {path}: attribute {attribute} is in no namespace that squashfs supports (user, trusted, security)"
    )]
    AttributeNamespace {
        /// The node.
        path: TreePath,
        /// The attribute's name.
        attribute: String,
    },
    /// An attribute whose name or value is too long.
    #[error(
        "packing {path}: attribute {attribute} has a name of {name} and a value of {value} bytes, expected at most 255 and 65536"
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
    #[error("packing {path}: the symlink's target has {length} bytes, expected 1 to 4095")]
    Symlink {
        /// The symlink.
        path: TreePath,
        /// Bytes of the target.
        length: usize,
    },
    /// A device's numbers do not fit 12 and 20 bits.
    #[error("packing {path}: device {major}:{minor} is out of range, expected at most 4095:1048575")]
    Device {
        /// The device.
        path: TreePath,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// The id table is full.
    #[error("packing {path}: more than 65535 different user and group ids, which is the maximum of squashfs")]
    TooManyIds {
        /// The node whose owner does not fit.
        path: TreePath,
    },
    /// A directory's listing is too long.
    #[error("packing {path}: its entries take {found} bytes, expected at most {most}")]
    DirectorySize {
        /// The directory.
        path: TreePath,
        /// Its bytes.
        found: usize,
        /// The bytes that fit.
        most: u32,
    },
    /// Inode numbers have 32 bits.
    #[error("packing {found} files: expected at most 4294967294, the maximum of squashfs")]
    TooManyNodes {
        /// Nodes of the tree.
        found: usize,
    },
    /// A table's references have 32 bits.
    #[error("packing {path}: the image's {table} table exceeds 4 GiB, the maximum of squashfs")]
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
    #[error("packing {path}: it changed during the build: found {found} bytes, expected {expected}")]
    Resized {
        /// The file in the tree.
        path: TreePath,
        /// Bytes that the tree says.
        expected: u64,
        /// Bytes that were read.
        found: u64,
    },
    /// A file's content changed between two reads.
    #[error("packing {path}: it changed during the build: two reads of its {length} bytes differ")]
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
