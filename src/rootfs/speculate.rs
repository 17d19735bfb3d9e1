//! The interface for speculative work: what is known of an image while maintainer scripts still run. They keep one core
//! busy; the others can begin with later stages.

use crate::profile::Prune;
use crate::rootfs::finish::normalise;
use crate::rootfs::finish::prune;
use crate::rootfs::unpack::entry::EntryKind;
use crate::rootfs::unpack::reader_pool::Packages;
use crate::tree::{Content, Kind, Metadata, Node, Tree, TreePath};
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

/// Works on what packages bring. Whatever comes of it, the image's bytes are the same.
pub trait Ahead: Debug + Sync {
    /// Gets the files that the image will hold, as far as packages bring them and
    /// no script changes them. They stay where they are until the image is packed.
    fn unpacked(&self, tree: Tree);
    /// Gets the kernel with its modules and depmod's lists of them.
    fn modules_listed(&self, tree: Tree);
}

/// Does nothing ahead.
impl Ahead for () {
    fn unpacked(&self, _: Tree) {}
    fn modules_listed(&self, _: Tree) {}
}

/// Tells `ahead` of the kernels and modules in `root`, which depmod has listed.
pub fn modules_listed(ahead: &dyn Ahead, root: &Path, rules: &Prune) {
    let mut tree = Tree::new(Metadata::new(0o755));
    for folder in ["boot", "usr/lib/modules"] {
        let Ok(part) = Tree::from_folder(&root.join(folder)) else { return };
        for (path, id) in part.walk() {
            let path = [folder.as_bytes(), &path.to_bytes()].concat();
            let node = part.node(id);
            if let (Ok(path), Kind::File(_)) = (TreePath::parse(path), &node.kind) {
                let _ = tree.insert(&path, node.clone());
            }
        }
    }
    normalise::clean(&mut tree);
    let _ = prune::prune(&mut tree, rules);
    ahead.modules_listed(tree);
}

/// The packages' files by the names that these give them. What does not fit is
/// left out: the installer tells of it.
pub fn guess(packages: &Packages, rules: &Prune) -> Tree {
    let mut tree = Tree::new(Metadata::new(0o755));
    for entry in packages.iter().flat_map(|package| &package.entries) {
        match &entry.kind {
            EntryKind::File { staged, known } => {
                let content = Content::known(staged.clone(), Arc::clone(known));
                let _ = tree.insert(&entry.path, Node::file(Metadata::new(entry.metadata.mode), content));
            }
            EntryKind::HardLink(target) => {
                if let Some(target) = tree.lookup(target) {
                    let _ = tree.link(&entry.path, target);
                }
            }
            // Folders come with their files, and nothing else has content.
            _ => {}
        }
    }
    normalise::clean(&mut tree);
    // A pattern that cannot be read is told of when it counts.
    let _ = prune::prune(&mut tree, rules);
    tree
}
