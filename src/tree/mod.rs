//! The file tree of an image, in memory: metadata, and content by reference.
//! Depends on no format and imports only `util`.

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

/// Why a tree cannot be changed or read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A path leads through a node that is not a directory.
    #[error("{path} is below {parent}, which is not a directory")]
    NotADirectory {
        /// The path of the operation.
        path: TreePath,
        /// The part of it that is not a directory.
        parent: TreePath,
    },
    /// A directory can have only one name.
    #[error("{path} would be a hard link to a directory")]
    DirectoryLink {
        /// The name to add.
        path: TreePath,
    },
    /// The root can only be replaced by a directory.
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
    /// A name in the host's directory is not valid in a tree.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl Tree {
    /// The root directory of every tree.
    pub const ROOT: NodeId = NodeId(0);

    /// A tree that holds only its root directory.
    pub fn new(root: Metadata) -> Self {
        Self { nodes: vec![Node { metadata: root, kind: Kind::Directory(BTreeMap::new()) }] }
    }

    /// The node with this id, which must be of this tree.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// As [`Tree::node`], mutable.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0]
    }

    /// The node that was added as the `index`th.
    pub fn nth(&self, index: usize) -> Option<NodeId> {
        (index < self.nodes.len()).then_some(NodeId(index))
    }

    /// The number of nodes ever added, including those that no entry names any more.
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

    /// The node itself of [`Tree::lookup`].
    pub fn get(&self, path: &TreePath) -> Option<&Node> {
        self.lookup(path).map(|id| self.node(id))
    }

    /// Inserts `node` at `path`, replacing any node there with everything below it. Missing parents are created with
    /// mode 755, owner root and the node's time.
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

    /// Makes `path` a hard link to `target`, which must not be a directory.
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
        // Callers have refused the root.
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

    /// The entries of `id`, which is the node at the first `depth` names of `path`.
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

    /// Removes the entry at `path` and everything below it.
    pub fn remove(&mut self, path: &TreePath) -> Result<(), TreeError> {
        let missing = || TreeError::NotFound { path: path.clone() };
        let (Some(name), Some(parent)) = (path.name(), path.parent()) else { return Err(missing()) };
        let id = self.lookup(&parent).ok_or_else(missing)?;
        self.entries_mut(id, path, path.names().count() - 1)?.remove(name).map(|_| ()).ok_or_else(missing)
    }

    /// All entries: the root first, parents before children, siblings in byte order. A node with several names comes
    /// once for each name.
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
