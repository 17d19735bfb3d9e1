//! What was laid over a folder by overlayfs, read from the folder that holds the
//! changes (kernel: Documentation/filesystems/overlayfs.rst): most of what lies
//! below did not change, and need not be looked at again.

use crate::tree::{Kind, Metadata, Node, NodeId, Tree, TreeError, TreePath};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The attributes in which a mount with the option `userxattr` keeps its own notes.
const NOTES: &[u8] = b"user.overlay.";
/// Says of a directory that it hides the one below, instead of adding to it.
const OPAQUE: &[u8] = b"user.overlay.opaque";

/// Changes `tree`, which is of the folder below, as the folder `upper` says.
pub fn apply(tree: &mut Tree, upper: &Path) -> Result<(), TreeError> {
    let changes = Tree::from_folder(upper)?;
    // A hard link among the changes is one node there, and one here.
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
    let there = tree.lookup(path);
    let metadata = without_notes(&change.metadata);
    match (&change.kind, there) {
        // A whiteout; over nothing where the file below was one of the changes, too.
        (Kind::CharacterDevice { major: 0, minor: 0 }, there) => {
            if there.is_some() {
                tree.remove(path)?;
            }
        }
        (Kind::Directory(_), Some(there))
            if matches!(tree.node(there).kind, Kind::Directory(_)) && !change.metadata.xattrs.contains_key(OPAQUE) =>
        {
            tree.node_mut(there).metadata = metadata;
        }
        (Kind::Directory(_), _) => drop(tree.insert(path, Node::directory(metadata))?),
        (kind, _) => match known.get(&id) {
            Some(&first) => tree.link(path, first)?,
            None => drop(known.insert(id, tree.insert(path, Node { metadata, kind: kind.clone() })?)),
        },
    }
    Ok(())
}

fn without_notes(metadata: &Metadata) -> Metadata {
    let xattrs = metadata.xattrs.iter().filter(|(name, _)| !name.starts_with(NOTES));
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
        let tree = Tree::from_folder(folder.path()).unwrap();
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
                panic!("the folder of temporary files takes no user.* attributes: set TMPDIR to one on ext4 or btrfs");
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
