//! What is wrong with a tar archive.

use crate::tree::{PathError, TreePath};
use std::io;

/// What is wrong with an archive. The caller knows, and adds, which one it is.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The archive cannot be read or decompressed.
    #[error("reading the archive{}", at.as_ref().map(|path| format!(" at {path}")).unwrap_or_default())]
    Read {
        /// The entry that was being read, where that is known.
        at: Option<TreePath>,
        /// The reader's error.
        source: io::Error,
    },
    /// The archive ends too early.
    #[error("the archive ends at byte {offset}, expected {expected}")]
    Truncated {
        /// Where it ends, in bytes of the decompressed archive.
        offset: u64,
        /// What should follow.
        expected: &'static str,
    },
    /// The archive has something else than what must follow.
    #[error("the archive is damaged before byte {offset}, expected {expected}")]
    Damaged {
        /// The end of what was read, in bytes of the decompressed archive.
        offset: u64,
        /// What should be there.
        expected: &'static str,
    },
    /// A header's check sum is wrong.
    #[error("the header before byte {offset} has the check sum {found}, expected {expected}")]
    CheckSum {
        /// The end of the header, in bytes of the decompressed archive.
        offset: u64,
        /// The header's field.
        found: u32,
        /// The sum of the header's bytes.
        expected: u32,
    },
    /// See [`super::Limits::entries`].
    #[error("the archive has more than {limit} entries")]
    TooMany {
        /// The limit.
        limit: u64,
    },
    /// See [`super::Limits::extension`].
    #[error("the archive has an extended header of {found} bytes before byte {offset}, at most {limit} are read")]
    Extension {
        /// Bytes of the header.
        found: u64,
        /// The limit.
        limit: u64,
        /// The end of what was read, in bytes of the decompressed archive.
        offset: u64,
    },
    /// An entry is refused.
    #[error("entry {path:?} {problem}")]
    Entry {
        /// Its path, as the archive has it.
        path: String,
        /// Why.
        problem: Problem,
    },
}

impl TarError {
    pub(super) fn entry(path: &TreePath, problem: Problem) -> Self {
        Self::Entry { path: path.to_string(), problem }
    }
}

/// Why an entry is refused.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Its path begins with a slash.
    #[error("is absolute, expected a path below the archive's root")]
    Absolute,
    /// Its path is empty.
    #[error("has no name")]
    NoName,
    /// Its path is none that a tree can hold.
    #[error("is refused: {0}")]
    Path(PathError),
    /// Its path leads through a symlink of the same archive.
    #[error("would be written through a symlink: {link} leads to {target:?} in the same archive")]
    ThroughSymlink {
        /// The symlink.
        link: String,
        /// The symlink's target.
        target: String,
    },
    /// Its target is no file that was read before.
    #[error("is a hard link to {target:?}, which is no file that came before it in the archive")]
    HardLink {
        /// The target, as the archive has it.
        target: String,
    },
    /// The symlink's target is none.
    #[error("is a symlink without a target, or with a NUL byte in it")]
    Target,
    /// The archive's root is no directory.
    #[error("is the root of the archive, expected it to be a directory")]
    Root,
    /// Its type is not supported.
    #[error("is of type {found:?}, which is none of file, directory, link, device and fifo")]
    Type {
        /// The header's type flag.
        found: char,
    },
    /// A node without content has some.
    #[error("has {size} bytes of content, expected none as it is no regular file")]
    Content {
        /// Bytes of it.
        size: u64,
    },
    /// A number of its header cannot be read.
    #[error("has a {field} that cannot be read")]
    Field {
        /// The field's name.
        field: &'static str,
    },
    /// A PAX record changes what the entry means, and is not supported.
    #[error("has the PAX record {key:?}, which is not supported; make the archive without sparse files and ACLs")]
    Record {
        /// The record's key.
        key: String,
    },
    /// See [`super::Limits::file`].
    #[error("makes {found} bytes, at most {limit} are unpacked")]
    TooLarge {
        /// Bytes of the file, or of all files.
        found: u64,
        /// The limit.
        limit: u64,
    },
}
