//! The first pass over a tree: refuses what squashfs cannot hold, by path,
//! before any byte is written, and assigns the numbers that later passes need.

use super::ids::Ids;
use super::inode::device_number;
use super::xattr::Xattrs;
use super::{Compression, SquashfsError};
use crate::tree::{Kind, NodeId, Tree, TreePath};

#[derive(Debug)]
pub(super) struct Survey {
    /// By node.
    facts: Vec<Facts>,
    pub ids: Ids,
    pub xattrs: Xattrs,
    /// Children before their parents.
    pub directories: Vec<NodeId>,
    pub inodes: u32,
    /// Bytes of all files, each node counted once.
    pub bytes: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// From 1; 0 if no path of the tree names the node.
    pub number: u32,
    pub links: u32,
    pub uid: u16,
    pub gid: u16,
    pub time: u32,
    pub xattrs: Option<u32>,
    /// The number of a directory's parent.
    pub parent: u32,
    /// The encoded number of a device.
    pub device: u32,
}

/// Linux's `PATH_MAX` without its NUL: a longer target cannot be followed.
const LONGEST_TARGET: usize = 4095;

impl Survey {
    pub fn new(tree: &Tree, compression: Compression) -> Result<Self, SquashfsError> {
        let mut survey = Self {
            facts: vec![Facts::default(); tree.node_count()],
            ids: Ids::default(),
            xattrs: Xattrs::new(compression)?,
            directories: directories(tree),
            inodes: 0,
            bytes: 0,
        };
        for (path, id) in tree.walk() {
            let facts = &mut survey.facts[id.index()];
            facts.links += 1;
            if facts.links == 1 {
                survey.inspect(tree, &path, id)?;
            }
        }
        survey.number(tree)?;
        Ok(survey)
    }

    pub fn facts(&self, id: NodeId) -> &Facts {
        &self.facts[id.index()]
    }

    fn inspect(&mut self, tree: &Tree, path: &TreePath, id: NodeId) -> Result<(), SquashfsError> {
        let node = tree.node(id);
        let metadata = &node.metadata;
        let full = || SquashfsError::TooManyIds { path: path.clone() };
        let xattrs = self.xattrs.index_of(path, &metadata.xattrs)?;
        let facts = &mut self.facts[id.index()];
        facts.xattrs = xattrs;
        facts.uid = self.ids.index_of(metadata.uid).ok_or_else(full)?;
        facts.gid = self.ids.index_of(metadata.gid).ok_or_else(full)?;
        facts.time = u32::try_from(metadata.mtime)
            .map_err(|_| SquashfsError::Time { path: path.clone(), found: metadata.mtime })?;
        match &node.kind {
            Kind::File(content) => self.bytes += content.len(),
            Kind::Symlink(target) if target.is_empty() || target.len() > LONGEST_TARGET => {
                return Err(SquashfsError::Symlink { path: path.clone(), length: target.len() });
            }
            &Kind::CharacterDevice { major, minor } | &Kind::BlockDevice { major, minor } => {
                facts.device = device_number(major, minor).ok_or_else(|| SquashfsError::Device {
                    path: path.clone(),
                    major,
                    minor,
                })?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Numbers inodes in the order of writing, so that the children of a
    /// directory have numbers close to each other.
    fn number(&mut self, tree: &Tree) -> Result<(), SquashfsError> {
        let mut last = 0_usize;
        for &directory in &self.directories {
            for child in entries(tree, directory) {
                let facts = &mut self.facts[child.index()];
                if facts.number == 0 {
                    last += 1;
                    // Checked at the end: no tree of 2^32 nodes gets this far.
                    facts.number = last as u32;
                }
            }
        }
        last += 1;
        self.inodes = u32::try_from(last)
            .ok()
            .filter(|&inodes| inodes < u32::MAX)
            .ok_or(SquashfsError::TooManyNodes { found: last })?;
        self.facts[Tree::ROOT.index()].number = self.inodes;
        // The root has no parent in the image. As in mksquashfs, the parent's number is one past the last.
        self.facts[Tree::ROOT.index()].parent = self.inodes + 1;
        for &directory in &self.directories {
            let number = self.facts[directory.index()].number;
            let mut links = 2;
            for child in entries(tree, directory) {
                if let Kind::Directory(_) = tree.node(child).kind {
                    self.facts[child.index()].parent = number;
                    links += 1;
                }
            }
            self.facts[directory.index()].links = links;
        }
        Ok(())
    }
}

fn entries(tree: &Tree, directory: NodeId) -> impl Iterator<Item = NodeId> + '_ {
    match &tree.node(directory).kind {
        Kind::Directory(entries) => Some(entries.values().copied()),
        _ => None,
    }
    .into_iter()
    .flatten()
}

/// All directories, children before their parents, siblings in byte order.
fn directories(tree: &Tree) -> Vec<NodeId> {
    let mut found = Vec::new();
    let mut stack = vec![Tree::ROOT];
    while let Some(directory) = stack.pop() {
        found.push(directory);
        stack.extend(entries(tree, directory).filter(|&child| matches!(tree.node(child).kind, Kind::Directory(_))));
    }
    found.reverse();
    found
}
