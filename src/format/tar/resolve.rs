//! Resolves paths through symlinked directories: `/lib` of a Debian tree leads to `usr/lib`, and packages still bring
//! `lib/…`. As in a chroot, an absolute target begins at the tree's root, and `..` never leads above it.

use crate::tree::{Kind, PathError, Tree, TreePath};
use crate::util::chroot_path::{self, ChrootError};
use std::convert::Infallible;

/// Why the place of a path cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// More symlinks than Linux follows.
    #[error("finding the place of {path}: too many symlinks on the way, the last is {link}")]
    Loop {
        /// The path.
        path: TreePath,
        /// The last symlink.
        link: TreePath,
    },
    /// A symlink's target is none.
    #[error("finding the place of {path}: the symlink {link} is refused")]
    Target {
        /// The path.
        path: TreePath,
        /// The symlink.
        link: TreePath,
        /// What is wrong with its target.
        source: PathError,
    },
}

/// The place of `path` in `tree`, its parents free of symlinks; the last name is not followed. What is missing or no
/// directory counts as a directory: whoever inserts the entry reports it.
pub fn resolve_in_tree(tree: &Tree, path: &TreePath) -> Result<TreePath, ResolveError> {
    let (Some(parent), Some(name)) = (path.parent(), path.name()) else { return Ok(path.clone()) };
    let directory = chroot_path::resolve(parent.names(), |at: &TreePath| match tree.get(at).map(|node| &node.kind) {
        Some(Kind::Symlink(target)) => Ok::<_, Infallible>(Some(target.clone())),
        _ => Ok(None),
    });
    let directory = directory.map_err(|error| match error {
        ChrootError::Loop { link } => ResolveError::Loop { path: path.clone(), link },
        ChrootError::Name { directory, source } => ResolveError::Target { path: path.clone(), link: directory, source },
        ChrootError::Read(never) => match never {},
    })?;
    // The name was in a path already.
    directory.join(name).map_err(|source| ResolveError::Target { path: path.clone(), link: path.clone(), source })
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
}
