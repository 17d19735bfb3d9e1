//! Where a path really lies when directories on the way are symlinks: `/lib` of a
//! Debian tree leads to `usr/lib`, and packages still bring `lib/…`. As for a
//! process whose root is the tree: an absolute target begins at the tree's root,
//! and `..` never leads above it.

use crate::tree::{Kind, PathError, Tree, TreePath};
use std::collections::VecDeque;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("finding the place of {path}: more than {LOOPS} symlinks on the way, the last is {link}")]
    Loop { path: TreePath, link: TreePath },
    #[error("finding the place of {path}: the symlink {link} is refused")]
    Target { path: TreePath, link: TreePath, source: PathError },
    #[error("finding the place of {path}: reading {}", host.display())]
    Host { path: TreePath, host: PathBuf, source: io::Error },
}

/// As many as Linux follows (path_resolution(7)).
const LOOPS: usize = 40;

/// The place of `path` in `tree`, its parents free of symlinks; the last name is not followed.
pub fn resolve_in_tree(tree: &Tree, path: &TreePath) -> Result<TreePath, ResolveError> {
    resolve(path, |at| match tree.get(at).map(|node| &node.kind) {
        Some(Kind::Symlink(target)) => Ok(Some(target.clone())),
        _ => Ok(None),
    })
}

/// The place of `path` below the folder `root` of this machine. What is read
/// may not change meanwhile: the folder is the build's own.
pub fn resolve_below(root: &Path, path: &TreePath) -> Result<PathBuf, ResolveError> {
    let host = |at: &TreePath| {
        let mut host = root.to_owned();
        host.extend(at.names().map(std::ffi::OsStr::from_bytes));
        host
    };
    let place = resolve(path, |at| match std::fs::read_link(host(at)) {
        Ok(target) => Ok(Some(target.into_os_string().into_vec())),
        // Not there (yet), not a symlink, or below what is no directory: for the writer to meet.
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::InvalidInput | io::ErrorKind::NotADirectory => Ok(None),
            _ => Err(ResolveError::Host { path: path.clone(), host: host(at), source: error }),
        },
    })?;
    Ok(host(&place))
}

fn resolve(
    path: &TreePath,
    mut read_link: impl FnMut(&TreePath) -> Result<Option<Vec<u8>>, ResolveError>,
) -> Result<TreePath, ResolveError> {
    let (Some(parent), Some(name)) = (path.parent(), path.name()) else { return Ok(path.clone()) };
    let mut place = TreePath::default();
    let mut left: VecDeque<Vec<u8>> = parent.names().map(<[u8]>::to_vec).collect();
    let mut followed = 0;
    while let Some(name) = left.pop_front() {
        match name.as_slice() {
            b"" | b"." => continue,
            b".." => {
                place = place.parent().unwrap_or_default();
                continue;
            }
            _ => {}
        }
        let refused = |at: &TreePath, source| ResolveError::Target { path: path.clone(), link: at.clone(), source };
        let at = place.join(&name).map_err(|source| refused(&place, source))?;
        let Some(target) = read_link(&at)? else {
            place = at;
            continue;
        };
        followed += 1;
        if followed > LOOPS {
            return Err(ResolveError::Loop { path: path.clone(), link: at });
        }
        if target.first() == Some(&b'/') {
            place = TreePath::default();
        }
        for part in target.split(|byte| *byte == b'/').rev() {
            left.push_front(part.to_vec());
        }
    }
    // The name was in a path already.
    place.join(name).map_err(|source| ResolveError::Target { path: path.clone(), link: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Metadata, Node};

    fn path(text: &str) -> TreePath {
        TreePath::parse(text).expect("a path")
    }

    fn tree(links: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::new(Metadata::new(0o755));
        for (at, target) in links {
            tree.insert(&path(at), Node::symlink(*target, 0)).expect("a place");
        }
        tree
    }

    #[test]
    fn follows_links_inside_the_tree_only() {
        let tree = tree(&[
            ("lib", "usr/lib"),
            ("up", "../../../../etc"),
            ("abs", "/usr/share"),
            ("usr/lib/deep", "../../lib"),
            ("last", "lib"),
            ("loop", "loop"),
            ("nul", "a\0b"),
        ]);
        for (from, to) in [
            ("lib/x", "/usr/lib/x"),
            ("up/passwd", "/etc/passwd"),
            ("abs/../x", "/x"),
            ("abs/doc", "/usr/share/doc"),
            ("lib/deep/deep/x", "/usr/lib/x"),
            ("last", "/last"),
            ("missing/x", "/missing/x"),
            ("", "/"),
        ] {
            let Ok(from) = TreePath::parse(from) else { continue };
            assert_eq!(resolve_in_tree(&tree, &from).expect("a place").to_string(), to, "{from}");
        }
        assert!(matches!(resolve_in_tree(&tree, &path("loop/x")), Err(ResolveError::Loop { .. })));
        assert!(matches!(resolve_in_tree(&tree, &path("nul/x")), Err(ResolveError::Target { .. })));
    }

    #[test]
    fn follows_links_inside_a_folder_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("usr/lib")).expect("a folder");
        std::os::unix::fs::symlink("usr/lib", root.join("lib")).expect("a link");
        std::os::unix::fs::symlink("../..", root.join("out")).expect("a link");
        std::os::unix::fs::symlink("/", root.join("abs")).expect("a link");
        std::fs::write(root.join("file"), "").expect("a file");
        for (from, to) in
            [("lib/x", "usr/lib/x"), ("out/x", "x"), ("abs/lib/x", "usr/lib/x"), ("file/x", "file/x"), ("lib", "lib")]
        {
            assert_eq!(resolve_below(&root, &path(from)).expect("a place"), root.join(to), "{from}");
        }
    }
}
