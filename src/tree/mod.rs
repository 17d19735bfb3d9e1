//! The file tree of an image, in memory: metadata, and content by reference.
//! Knows no format and imports `util` alone.

#![warn(missing_docs)]

mod content;
pub mod fingerprint;
mod host;
mod metadata;
mod node;
mod parallel;
mod path;
#[cfg(test)]
mod tests;

pub use content::Content;
pub use fingerprint::{Fingerprint, Fingerprinter};
pub use metadata::Metadata;
pub use node::{Kind, Node, NodeId};
pub use parallel::in_parallel;
pub use path::{PathError, TreePath};

use crate::util::file_error::FileError;
use std::collections::BTreeMap;

/// A tree of nodes. Two directory entries that name one [`NodeId`] are hard links.
#[derive(Debug, Clone)]
pub struct Tree {
    nodes: Vec<Node>,
}

/// What went wrong while changing or reading a tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A path leads through a node that has no entries.
    #[error("{path} lies below {parent}, which is not a directory")]
    NotADirectory {
        /// The path of the operation.
        path: TreePath,
        /// The part of it that is no directory.
        parent: TreePath,
    },
    /// A directory can have one name only.
    #[error("{path} would be a hard link to a directory")]
    DirectoryLink {
        /// The name that was to be added.
        path: TreePath,
    },
    /// The root can be replaced by a directory only.
    #[error("the root of a tree is a directory, found {found}")]
    Root {
        /// The kind of node that was given.
        found: &'static str,
    },
    /// No entry has this path.
    #[error("{path} is not in the tree")]
    NotFound {
        /// The path that was looked up.
        path: TreePath,
    },
    /// Reading or writing a file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A name in the host's directory is none that a tree can hold.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl Tree {
    /// The root directory of every tree.
    pub const ROOT: NodeId = NodeId(0);

    /// A tree that holds nothing but its root directory.
    pub fn new(root: Metadata) -> Self {
        Self { nodes: vec![Node { metadata: root, kind: Kind::Directory(BTreeMap::new()) }] }
    }

    /// The node of an id that this tree gave.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The node of an id that this tree gave, to be changed.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0]
    }

    /// The node that was made as the `index`th.
    pub fn nth(&self, index: usize) -> Option<NodeId> {
        (index < self.nodes.len()).then_some(NodeId(index))
    }

    /// How many nodes were ever made, whether or not an entry still names them.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The node at `path`, following no symlink.
    pub fn lookup(&self, path: &TreePath) -> Option<NodeId> {
        let mut id = Self::ROOT;
        for name in path.names() {
            let Kind::Directory(entries) = &self.node(id).kind else { return None };
            id = *entries.get(name)?;
        }
        Some(id)
    }

    /// As [`Tree::lookup`], the node itself.
    pub fn get(&self, path: &TreePath) -> Option<&Node> {
        self.lookup(path).map(|id| self.node(id))
    }

    /// Puts `node` at `path`, in the place of what was there with all below it;
    /// missing parents are made with mode 755, root's, with the node's time.
    pub fn insert(&mut self, path: &TreePath, node: Node) -> Result<NodeId, TreeError> {
        if path.is_root() {
            let Kind::Directory(_) = node.kind else { return Err(TreeError::Root { found: node.kind.name() }) };
            self.nodes[Self::ROOT.0] = node;
            return Ok(Self::ROOT);
        }
        let time = node.metadata.mtime;
        let id = NodeId(self.nodes.len());
        self.nodes.push(node);
        self.attach(path, id, time)?;
        Ok(id)
    }

    /// Makes `path` another name of `target`, which is no directory.
    pub fn link(&mut self, path: &TreePath, target: NodeId) -> Result<(), TreeError> {
        let node = self.node(target);
        if let Kind::Directory(_) = node.kind {
            return Err(TreeError::DirectoryLink { path: path.clone() });
        }
        if path.is_root() {
            return Err(TreeError::Root { found: node.kind.name() });
        }
        let time = node.metadata.mtime;
        self.attach(path, target, time)
    }

    fn attach(&mut self, path: &TreePath, target: NodeId, time: i64) -> Result<(), TreeError> {
        // Callers refused the root.
        let name = path.name().unwrap_or_default();
        let mut id = Self::ROOT;
        let parents = path.names().count() - 1;
        for (depth, part) in path.names().take(parents).enumerate() {
            let next = match &self.node(id).kind {
                Kind::Directory(entries) => entries.get(part).copied(),
                _ => None,
            };
            id = match next {
                Some(next) => next,
                None => {
                    let new = NodeId(self.nodes.len());
                    self.nodes.push(Node::directory(Metadata::new(0o755).with_mtime(time)));
                    self.entries_mut(id, path, depth)?.insert(part.to_vec(), new);
                    new
                }
            };
        }
        self.entries_mut(id, path, parents)?.insert(name.to_vec(), target);
        Ok(())
    }

    /// The entries of `id`, which is what the first `depth` names of `path` lead to.
    fn entries_mut(
        &mut self,
        id: NodeId,
        path: &TreePath,
        depth: usize,
    ) -> Result<&mut BTreeMap<Vec<u8>, NodeId>, TreeError> {
        match &mut self.nodes[id.0].kind {
            Kind::Directory(entries) => Ok(entries),
            _ => {
                let parent = path.names().take(depth).try_fold(TreePath::default(), |path, name| path.join(name))?;
                Err(TreeError::NotADirectory { path: path.clone(), parent })
            }
        }
    }

    /// Takes the entry at `path`, with all below it, out of the tree.
    pub fn remove(&mut self, path: &TreePath) -> Result<(), TreeError> {
        let missing = || TreeError::NotFound { path: path.clone() };
        let (Some(name), Some(parent)) = (path.name(), path.parent()) else { return Err(missing()) };
        let id = self.lookup(&parent).ok_or_else(missing)?;
        self.entries_mut(id, path, path.names().count() - 1)?.remove(name).map(|_| ()).ok_or_else(missing)
    }

    /// Every entry, parents before children, siblings in byte order, the root first.
    /// A node with several names comes once for each.
    pub fn walk(&self) -> impl Iterator<Item = (TreePath, NodeId)> + '_ {
        let mut stack = vec![(TreePath::default(), Self::ROOT)];
        std::iter::from_fn(move || {
            let (path, id) = stack.pop()?;
            if let Kind::Directory(entries) = &self.node(id).kind {
                // Names in a tree are valid by construction: TreePath or the kernel checked them.
                stack.extend(entries.iter().rev().map(|(name, id)| (path.child(name), *id)));
            }
            Some((path, id))
        })
    }
}
