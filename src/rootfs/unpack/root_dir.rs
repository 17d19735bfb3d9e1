//! Paths below the directory that becomes the image, resolved as in a chroot: no symlink leads out of it.

use crate::tree::TreePath;
use crate::util::chroot_path::{self, ChrootError};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

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
        let read_link = |at: &TreePath| {
            let host = self.host(at);
            let stat = match fs::symlink_metadata(&host) {
                Ok(stat) => stat,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(ResolveError::Missing(at.clone()));
                }
                Err(error) => return Err(error.into()),
            };
            match stat.file_type() {
                kind if kind.is_dir() => Ok(None),
                kind if kind.is_symlink() => Ok(Some(fs::read_link(&host)?.into_os_string().into_vec())),
                _ => Err(ResolveError::NotADirectory(at.clone())),
            }
        };
        chroot_path::resolve(path.names(), read_link).map_err(|error| match error {
            ChrootError::Loop { .. } => ResolveError::Loop(path.clone()),
            ChrootError::Name { source, .. } => ResolveError::Path(source),
            ChrootError::Read(error) => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tar;
    use crate::rootfs::finish::tree_edit;
    use crate::tree::Tree;
    use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
    use nix::sys::stat::Mode;
    use proptest::prelude::*;
    use std::os::fd::AsRawFd;
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

    /// Where the kernel finds the directory `path` below `root`.
    fn judged(root: &Path, path: &str) -> Option<PathBuf> {
        let root = fs::canonicalize(root).unwrap();
        let directory = open(&root, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_DIRECTORY).resolve(ResolveFlag::RESOLVE_IN_ROOT);
        let found = openat2(&directory, path, how).ok()?;
        let found = fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd())).unwrap();
        Some(found.strip_prefix(&root).unwrap().to_owned())
    }

    /// A directory, or a symlink to the text.
    fn entries() -> impl Strategy<Value = Vec<(String, Option<String>)>> {
        let path = "[ab]{1}(/[ab]){0,2}";
        let target = "(/|\\.\\./|\\.\\./\\.\\./\\.\\./)?([ab]|\\.\\.|\\.)(/([ab]|\\.\\.)){0,2}/?";
        proptest::collection::vec((path, proptest::option::of(target)), 0..12)
    }

    proptest! {
        /// The kernel judges all three users of [`chroot_path::resolve`].
        #[test]
        fn agrees_with_the_kernel(entries in entries(), wanted in "[ab](/[ab]){0,3}") {
            let root = tempfile::tempdir().unwrap();
            for (at, target) in &entries {
                let at = root.path().join(at);
                // Later entries may lie below a link, which would lead out of the root, or have the name of another one.
                let parents = at.ancestors().skip(1).take_while(|parent| *parent != root.path());
                if parents.into_iter().any(|parent| parent.is_symlink()) || at.symlink_metadata().is_ok() {
                    continue;
                }
                let _ = fs::create_dir_all(at.parent().unwrap());
                let _ = match target {
                    Some(target) => symlink(target, &at),
                    None => fs::create_dir(&at),
                };
            }
            let expected = judged(root.path(), &wanted).map(|found| path(found.to_str().unwrap()));
            let wanted = path(&wanted);
            let below = wanted.join("x").unwrap();
            let found = Root::new(root.path()).resolve_folder(&wanted).ok();
            prop_assert_eq!(&found, &expected);
            let tree = Tree::from_folder(root.path()).unwrap();
            let edited = tree_edit::resolve(&tree, &below).and_then(|found| found.parent());
            prop_assert_eq!(&edited, &expected);
            if let Some(expected) = expected {
                // An archive may also bring names below directories that are not there yet.
                let unpacked = tar::resolve_in_tree(&tree, &below).unwrap();
                prop_assert_eq!(unpacked.parent(), Some(expected));
            }
        }
    }
}
