use crate::tree::{PathError, TreePath};
use std::io;

/// What is wrong with an archive. The caller knows, and adds, which one it is.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    #[error("reading the archive{}", at.as_ref().map(|path| format!(" at {path}")).unwrap_or_default())]
    Read { at: Option<TreePath>, source: io::Error },
    #[error("the archive ends at byte {offset}, expected {expected}")]
    Truncated { offset: u64, expected: &'static str },
    #[error("the archive is damaged before byte {offset}, expected {expected}")]
    Damaged { offset: u64, expected: &'static str },
    #[error("the header before byte {offset} has the check sum {found}, expected {expected}")]
    CheckSum { offset: u64, found: u32, expected: u32 },
    #[error("the archive has more than {limit} entries")]
    TooMany { limit: u64 },
    #[error("the archive has an extended header of {found} bytes before byte {offset}, at most {limit} are read")]
    Extension { found: u64, limit: u64, offset: u64 },
    #[error("entry {path:?} {problem}")]
    Entry { path: String, problem: Problem },
}

impl TarError {
    pub(super) fn entry(path: &TreePath, problem: Problem) -> Self {
        Self::Entry { path: path.to_string(), problem }
    }
}

/// Why an entry is refused.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("is absolute, expected a path below the archive's root")]
    Absolute,
    #[error("has no name")]
    NoName,
    #[error("is refused: {0}")]
    Path(PathError),
    #[error("would be written through a symlink: {link} leads to {target:?} in the same archive")]
    ThroughSymlink { link: String, target: String },
    #[error("is a hard link to {target:?}, which is no file that came before it in the archive")]
    HardLink { target: String },
    #[error("is a symlink without a target, or with a NUL byte in it")]
    Target,
    #[error("is the root of the archive, expected it to be a directory")]
    Root,
    #[error("is of type {found:?}, which is none of file, directory, link, device and fifo")]
    Type { found: char },
    #[error("has {size} bytes of content, expected none as it is no regular file")]
    Content { size: u64 },
    #[error("has a {field} that cannot be read")]
    Field { field: &'static str },
    #[error("has the PAX record {key:?}, which is not supported; make the archive without sparse files and ACLs")]
    Record { key: String },
    #[error("makes {found} bytes, at most {limit} are unpacked")]
    TooLarge { found: u64, limit: u64 },
}
