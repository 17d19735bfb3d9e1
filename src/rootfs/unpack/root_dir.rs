//! Paths inside the folder that becomes the image, resolved as if it were `/`:
//! no symlink in it leads out of it.

use crate::tree::TreePath;
use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// As many as the kernel follows (path_resolution(7)).
const MAXIMUM_SYMLINKS: usize = 40;

#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    /// Folders already resolved. Valid while nothing replaces a folder or a
    /// symlink to one; see [`Root::forget`].
    known: HashMap<TreePath, TreePath>,
}

#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("lies below {0}, which is missing")]
    Missing(TreePath),
    #[error("lies below {0}, which is not a directory")]
    NotADirectory(TreePath),
    #[error("lies below {0}, a loop of symlinks")]
    Loop(TreePath),
    #[error("cannot be resolved")]
    Io(#[from] io::Error),
    #[error("cannot be resolved")]
    Path(#[from] crate::tree::PathError),
}

impl Root {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), known: HashMap::new() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where on the build machine a path without symlinks in its parents is.
    pub fn host(&self, real: &TreePath) -> PathBuf {
        real.names().fold(self.path.clone(), |path, name| path.join(OsStr::from_bytes(name)))
    }

    /// Drops what is remembered, after something else has changed the tree.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// `path` with every symlink in its parents followed, not its last name.
    pub fn resolve(&mut self, path: &TreePath) -> Result<TreePath, ResolveError> {
        match (path.parent(), path.name()) {
            (Some(parent), Some(name)) => Ok(self.resolve_folder(&parent)?.join(name)?),
            _ => Ok(TreePath::default()),
        }
    }

    /// The real path of a folder.
    pub fn resolve_folder(&mut self, path: &TreePath) -> Result<TreePath, ResolveError> {
        if path.is_root() {
            return Ok(TreePath::default());
        }
        if let Some(known) = self.known.get(path) {
            return Ok(known.clone());
        }
        let real = self.walk(path)?;
        self.known.insert(path.clone(), real.clone());
        Ok(real)
    }

    fn walk(&self, path: &TreePath) -> Result<TreePath, ResolveError> {
        let mut left: VecDeque<Vec<u8>> = path.names().map(<[u8]>::to_vec).collect();
        let mut at = TreePath::default();
        let mut followed = 0;
        while let Some(name) = left.pop_front() {
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    at = at.parent().unwrap_or_default();
                    continue;
                }
                _ => {}
            }
            let next = at.join(&name)?;
            let host = self.host(&next);
            let stat = match fs::symlink_metadata(&host) {
                Ok(stat) => stat,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ResolveError::Missing(next)),
                Err(error) => return Err(error.into()),
            };
            if stat.is_dir() {
                at = next;
            } else if stat.is_symlink() {
                followed += 1;
                if followed > MAXIMUM_SYMLINKS {
                    return Err(ResolveError::Loop(path.clone()));
                }
                let target = fs::read_link(&host)?.into_os_string().into_vec();
                if target.starts_with(b"/") {
                    at = TreePath::default();
                }
                for part in target.split(|&byte| byte == b'/').rev() {
                    left.push_front(part.to_vec());
                }
            } else {
                return Err(ResolveError::NotADirectory(next));
            }
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text).unwrap()
    }

    #[test]
    fn symlinks_stay_inside() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("usr/lib/deep")).unwrap();
        symlink("usr/lib", at("lib")).unwrap();
        symlink("/usr", at("absolute")).unwrap();
        symlink("../../../../usr/lib", at("usr/up")).unwrap();
        symlink("/etc", at("out")).unwrap();
        symlink("loop", at("loop")).unwrap();
        fs::write(at("file"), "").unwrap();
        let mut root = Root::new(folder.path());
        assert_eq!(root.resolve(&path("/lib/deep/x")).unwrap(), path("usr/lib/deep/x"));
        assert_eq!(root.resolve(&path("absolute/lib/x")).unwrap(), path("usr/lib/x"));
        assert_eq!(root.resolve(&path("usr/up/x")).unwrap(), path("usr/lib/x"));
        assert_eq!(root.resolve(&path("lib")).unwrap(), path("lib"));
        // The machine has an /etc; the root has none.
        assert!(matches!(root.resolve(&path("out/passwd")), Err(ResolveError::Missing(_))));
        assert!(matches!(root.resolve(&path("loop/x")), Err(ResolveError::Loop(_))));
        assert!(matches!(root.resolve(&path("file/x")), Err(ResolveError::NotADirectory(_))));
    }
}
