//! Paths inside of a tree.

use crate::util::chroot_path::Place;
use std::cmp::Ordering;
use std::fmt;

/// A path inside a tree: names between slashes, none empty, `.` or `..`; the
/// root is the path of no names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TreePath {
    /// A slash before each name.
    text: Vec<u8>,
}

/// Why a text is no path inside of a tree.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathError {
    /// A component `..`.
    #[error("path {path:?} leads out of the tree by ..")]
    Parent {
        /// The path as it was given.
        path: String,
    },
    /// A name above Linux's limit (NAME_MAX).
    #[error("path {path:?} holds a name of {length} bytes, at most 255 fit")]
    NameTooLong {
        /// The path as it was given.
        path: String,
        /// Bytes of the name.
        length: usize,
    },
    /// A NUL byte, which no file system takes.
    #[error("path {path:?} holds a NUL byte")]
    Nul {
        /// The path as it was given.
        path: String,
    },
    /// Empty, `.`, or with a slash, where one name is expected.
    #[error("{name:?} is not the name of a directory entry")]
    Name {
        /// The name as it was given.
        name: String,
    },
}

impl TreePath {
    /// Reads a path; leading, doubled and trailing slashes and `.` mean nothing,
    /// `..` is refused (it is how an archive breaks out of its place).
    pub fn parse(path: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let path = path.as_ref();
        let mut text = Vec::with_capacity(path.len() + 1);
        for name in path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b".")) {
            check(name, path)?;
            text.push(b'/');
            text.extend_from_slice(name);
        }
        Ok(Self { text })
    }

    /// The path of the entry `name` in the directory at this path.
    pub fn join(&self, name: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let name = name.as_ref();
        check(name, name)?;
        if matches!(name, b"" | b".") || name.contains(&b'/') {
            return Err(PathError::Name { name: shown(name) });
        }
        Ok(self.child(name))
    }

    /// [`TreePath::join`] for what is the name of a directory entry.
    pub(super) fn child(&self, name: &[u8]) -> Self {
        let mut text = Vec::with_capacity(self.text.len() + 1 + name.len());
        text.extend_from_slice(&self.text);
        text.push(b'/');
        text.extend_from_slice(name);
        Self { text }
    }

    /// The path without its last name; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let end = self.text.iter().rposition(|&byte| byte == b'/')?;
        Some(Self { text: self.text[..end].to_vec() })
    }

    /// The last name; `None` for the root.
    pub fn name(&self) -> Option<&[u8]> {
        self.names().next_back()
    }

    /// The names from the root on; none for the root itself.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        // Before the first slash is nothing, and of the root nothing at all.
        self.text.get(1..).into_iter().flat_map(|text| text.split(|&byte| byte == b'/'))
    }

    /// Whether it is the path of no names.
    pub fn is_root(&self) -> bool {
        self.text.is_empty()
    }

    /// The path with a leading slash, as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.is_root() { b"/".to_vec() } else { self.text.clone() }
    }
}

impl Place for TreePath {
    type Error = PathError;

    fn parent(&self) -> Option<Self> {
        TreePath::parent(self)
    }

    fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        TreePath::join(self, name)
    }
}

/// Whether `name`, of `path`, can be one; it may still be empty, `.`, or hold slashes.
fn check(name: &[u8], path: &[u8]) -> Result<(), PathError> {
    match name {
        b".." => Err(PathError::Parent { path: shown(path) }),
        _ if name.contains(&0) => Err(PathError::Nul { path: shown(path) }),
        _ if name.len() > 255 => Err(PathError::NameTooLong { path: shown(path), length: name.len() }),
        _ => Ok(()),
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Name by name, so that all below a directory comes right after it.
impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.names().cmp(other.names())
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_its_names_in_their_order(
            one in proptest::collection::vec("[-. a/0]{1,3}", 0..4),
            other in proptest::collection::vec("[-. a/0]{1,3}", 0..4),
        ) {
            let names = |parts: &[String]| -> Vec<Vec<u8>> {
                let all = parts.iter().flat_map(|part| part.split('/'));
                all.filter(|name| !matches!(*name, "" | "." | "..")).map(|name| name.as_bytes().to_vec()).collect()
            };
            let (one, other) = (names(&one), names(&other));
            let path = |names: &[Vec<u8>]| {
                names.iter().try_fold(TreePath::default(), |path, name| path.join(name)).unwrap()
            };
            let (first, second) = (path(&one), path(&other));
            prop_assert_eq!(first.names().collect::<Vec<_>>(), one.clone());
            prop_assert_eq!(first.names().rev().collect::<Vec<_>>(), one.iter().rev().cloned().collect::<Vec<_>>());
            prop_assert_eq!(first.cmp(&second), one.cmp(&other));
            prop_assert_eq!(first.name().map(<[u8]>::to_vec), one.last().cloned());
            let parent = first.parent().map(|parent| parent.names().map(<[u8]>::to_vec).collect::<Vec<_>>());
            prop_assert_eq!(parent, one.split_last().map(|(_, parents)| parents.to_vec()));
        }
    }
}
