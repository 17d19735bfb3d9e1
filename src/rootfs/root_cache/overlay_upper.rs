//! Reads the changes in an overlayfs from its upper directory (kernel: Documentation/filesystems/overlayfs.rst). Most
//! files of the lower directory are unchanged and need not be read again.

use crate::tree::{Kind, Metadata, Node, NodeId, Tree, TreeError, TreePath};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Prefix of overlayfs's own attributes in a mount with the option `userxattr`.
const OVERLAY_PREFIX: &[u8] = b"user.overlay.";
/// Marks a directory that hides the lower one instead of merging with it.
const OPAQUE: &[u8] = b"user.overlay.opaque";

/// Applies the changes in the directory `upper` to `tree`, the tree of the lower directory.
pub fn apply(tree: &mut Tree, upper: &Path) -> Result<(), TreeError> {
    let changes = Tree::from_directory(upper)?;
    // Names of one node in `upper` become names of one node in `tree`.
    let mut known = HashMap::new();
    for (path, id) in changes.walk() {
        apply_one(tree, &path, id, changes.node(id), &mut known)?;
    }
    Ok(())
}

fn apply_one(
    tree: &mut Tree,
    path: &TreePath,
    id: NodeId,
    change: &Node,
    known: &mut HashMap<NodeId, NodeId>,
) -> Result<(), TreeError> {
    let existing = tree.lookup(path);
    let metadata = without_overlay_xattrs(&change.metadata);
    match (&change.kind, existing) {
        // A whiteout. Its lower file may be missing, if it was created and deleted in the upper directory.
        (Kind::CharacterDevice { major: 0, minor: 0 }, existing) => {
            if existing.is_some() {
                tree.remove(path)?;
            }
        }
        (Kind::Directory(_), Some(existing))
            if matches!(tree.node(existing).kind, Kind::Directory(_))
                && !change.metadata.xattrs.contains_key(OPAQUE) =>
        {
            tree.node_mut(existing).metadata = metadata;
        }
        (Kind::Directory(_), _) => drop(tree.insert(path, Node::directory(metadata))?),
        (kind, _) => match known.get(&id) {
            Some(&first) => tree.link(path, first)?,
            None => drop(known.insert(id, tree.insert(path, Node { metadata, kind: kind.clone() })?)),
        },
    }
    Ok(())
}

fn without_overlay_xattrs(metadata: &Metadata) -> Metadata {
    let xattrs = metadata.xattrs.iter().filter(|(name, _)| !name.starts_with(OVERLAY_PREFIX));
    let xattrs: BTreeMap<_, _> = xattrs.map(|(name, value)| (name.clone(), value.clone())).collect();
    Metadata { xattrs, ..metadata.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn tree(of: impl FnOnce(&Path)) -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().unwrap();
        of(folder.path());
        let tree = Tree::from_directory(folder.path()).unwrap();
        (folder, tree)
    }

    fn paths(tree: &Tree) -> Vec<String> {
        tree.walk().map(|(path, _)| path.to_string()).collect()
    }

    #[test]
    fn what_is_above_is_added_or_takes_the_place() {
        let (_below, mut found) = tree(|at| {
            fs::create_dir_all(at.join("both/kept")).unwrap();
            fs::write(at.join("both/file"), "below").unwrap();
            fs::create_dir(at.join("was-a-folder")).unwrap();
            fs::write(at.join("was-a-folder/x"), "").unwrap();
        });
        let above = tempfile::tempdir().unwrap();
        let at = above.path();
        fs::create_dir_all(at.join("both/new")).unwrap();
        fs::write(at.join("both/file"), "above").unwrap();
        fs::hard_link(at.join("both/file"), at.join("both/same")).unwrap();
        fs::write(at.join("was-a-folder"), "").unwrap();
        apply(&mut found, at).unwrap();
        let expected = ["/", "/both", "/both/file", "/both/kept", "/both/new", "/both/same", "/was-a-folder"];
        assert_eq!(paths(&found), expected);
        let id = |path: &str| found.lookup(&TreePath::parse(path).unwrap()).unwrap();
        assert_eq!(id("/both/file"), id("/both/same"));
        assert!(
            matches!(&found.node(id("/both/file")).kind, Kind::File(content) if content.read().unwrap() == b"above")
        );
    }

    #[test]
    fn an_opaque_folder_hides_the_one_below_and_notes_are_no_attributes() {
        let (_below, mut found) = tree(|at| {
            fs::create_dir_all(at.join("opaque/hidden")).unwrap();
            fs::create_dir_all(at.join("merged/seen")).unwrap();
        });
        let above = tempfile::tempdir().unwrap();
        for (name, attribute) in [("opaque", "user.overlay.opaque"), ("merged", "user.overlay.origin")] {
            fs::create_dir(above.path().join(name)).unwrap();
            if xattr::set(above.path().join(name), attribute, b"y").is_err() {
                panic!(
                    "the directory of temporary files supports no user.* attributes: set TMPDIR to one on ext4 or btrfs"
                );
            }
        }
        xattr::set(above.path().join("merged"), "user.own", b"1").unwrap();
        apply(&mut found, above.path()).unwrap();
        assert_eq!(paths(&found), ["/", "/merged", "/merged/seen", "/opaque"]);
        let names = |path: &str| found.get(&TreePath::parse(path).unwrap()).unwrap().metadata.xattrs.clone();
        assert!(names("/opaque").is_empty());
        assert_eq!(names("/merged").into_keys().collect::<Vec<_>>(), [b"user.own"]);
    }

    #[test]
    fn a_whiteout_takes_away() {
        let (_below, mut found) = tree(|at| {
            fs::create_dir_all(at.join("gone/with/it")).unwrap();
            fs::write(at.join("stays"), "").unwrap();
        });
        let whiteout = Node { metadata: Metadata::new(0), kind: Kind::CharacterDevice { major: 0, minor: 0 } };
        for path in ["/gone", "/never"] {
            apply_one(&mut found, &TreePath::parse(path).unwrap(), Tree::ROOT, &whiteout, &mut HashMap::new()).unwrap();
        }
        assert_eq!(paths(&found), ["/", "/stays"]);
    }
}
