//! The interface for speculative work: what is known of an image while maintainer scripts still run. The scripts use
//! one core; the other cores can begin with later stages.

use crate::profile::Prune;
use crate::rootfs::finish::normalise;
use crate::rootfs::finish::prune;
use crate::rootfs::unpack::entry::EntryKind;
use crate::rootfs::unpack::reader_pool::Packages;
use crate::tree::{Content, Kind, Metadata, Node, Tree, TreePath};
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

/// Called with the packages' files as soon as they are known. The hooks must not affect the image's bytes.
pub trait SpeculationHooks: Debug + Sync {
    /// Called with the files that packages install, as they will be in the image unless a script changes them. The
    /// files exist until the image is packed.
    fn on_unpacked(&self, tree: Tree);
    /// Called with the kernels, their modules and the lists that depmod made.
    fn on_modules_listed(&self, tree: Tree);
}

/// No speculative work.
impl SpeculationHooks for () {
    fn on_unpacked(&self, _: Tree) {}
    fn on_modules_listed(&self, _: Tree) {}
}

/// Calls `hooks` with the kernels and modules in `root`, for which depmod has run.
pub fn modules_listed(hooks: &dyn SpeculationHooks, root: &Path, rules: &Prune) {
    let mut tree = Tree::new(Metadata::new(0o755));
    for folder in ["boot", "usr/lib/modules"] {
        let Ok(part) = Tree::from_directory(&root.join(folder)) else { return };
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
    hooks.on_modules_listed(tree);
}

/// The tree of the packages' files, by their names in the packages. Files that cannot be added are left out; the
/// installer reports the error.
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
            // Directories are implied by their files, and other kinds have no content.
            _ => {}
        }
    }
    normalise::clean(&mut tree);
    // `finish` reports invalid patterns.
    let _ = prune::prune(&mut tree, rules);
    tree
}
