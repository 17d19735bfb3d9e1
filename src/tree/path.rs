use std::fmt;

/// A path inside a tree: names between slashes, none empty, `.` or `..`; the
/// root is the path of no names.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath {
    names: Vec<Vec<u8>>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathError {
    #[error("path {path:?} leads out of the tree by ..")]
    Parent { path: String },
    #[error("path {path:?} holds a name of {length} bytes, at most 255 fit")]
    NameTooLong { path: String, length: usize },
    #[error("path {path:?} holds a NUL byte")]
    Nul { path: String },
    #[error("{name:?} is not the name of a directory entry")]
    Name { name: String },
}

impl TreePath {
    /// Reads a path; leading, doubled and trailing slashes and `.` mean nothing,
    /// `..` is refused (it is how an archive breaks out of its place).
    pub fn parse(path: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let path = path.as_ref();
        let shown = || String::from_utf8_lossy(path).into_owned();
        let mut names = Vec::new();
        for name in path.split(|&byte| byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => return Err(PathError::Parent { path: shown() }),
                _ if name.contains(&0) => return Err(PathError::Nul { path: shown() }),
                _ if name.len() > 255 => return Err(PathError::NameTooLong { path: shown(), length: name.len() }),
                _ => names.push(name.to_vec()),
            }
        }
        Ok(Self { names })
    }

    pub fn join(&self, name: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let mut child = Self::parse(&name)?;
        if child.names.len() != 1 || name.as_ref().contains(&b'/') {
            return Err(PathError::Name { name: String::from_utf8_lossy(name.as_ref()).into_owned() });
        }
        let mut names = self.names.clone();
        names.append(&mut child.names);
        Ok(Self { names })
    }

    pub fn parent(&self) -> Option<Self> {
        let (_, parents) = self.names.split_last()?;
        Some(Self { names: parents.to_vec() })
    }

    /// The last name; `None` for the root.
    pub fn name(&self) -> Option<&[u8]> {
        self.names.last().map(Vec::as_slice)
    }

    pub fn names(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.names.iter().map(Vec::as_slice)
    }

    pub fn is_root(&self) -> bool {
        self.names.is_empty()
    }

    /// The path with a leading slash, as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.is_root() {
            return b"/".to_vec();
        }
        self.names.iter().flat_map(|name| [b"/".as_slice(), name].concat()).collect()
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}
