//! The last pass over a tree: its inodes and directory listings.

use super::SquashfsError;
use super::data::Data;
use super::directory::{self, Entry, Listing};
use super::inode::{Body, FileBody, Inode, basic_type};
use super::metadata::{MetadataRef, MetadataWriter};
use super::survey::Survey;
use crate::tree::{Kind, NodeId, Tree, TreePath};
use std::collections::HashMap;

/// An inode counts its index entries in 16 bits, and each entry covers nearly 8 KiB of listing.
const LARGEST_LISTING: u32 = 500_000_000;

#[derive(Debug)]
pub(super) struct Nodes<'a> {
    tree: &'a Tree,
    survey: &'a Survey,
    data: &'a Data,
    pub inodes: MetadataWriter,
    pub directories: MetadataWriter,
    /// The reference to each inode, by number minus 1.
    inode_refs: Vec<Option<MetadataRef>>,
    /// Listings of directories whose inode is not written yet.
    listings: HashMap<NodeId, Listing>,
}

impl<'a> Nodes<'a> {
    pub fn new(
        tree: &'a Tree,
        survey: &'a Survey,
        data: &'a Data,
        inodes: MetadataWriter,
        directories: MetadataWriter,
    ) -> Self {
        let inode_refs = vec![None; survey.inodes as usize];
        Self { tree, survey, data, inodes, directories, inode_refs, listings: HashMap::new() }
    }

    /// Writes all inodes and listings. The inodes of a directory's children are adjacent, so that many entries share a
    /// header.
    pub fn write(&mut self) -> Result<(), SquashfsError> {
        for &directory in &self.survey.directories {
            self.write_children(directory)?;
        }
        self.write_inode(Tree::ROOT)?;
        Ok(())
    }

    /// The references to all inodes, in the order of their numbers; the root's is the last.
    pub fn references(&self) -> impl Iterator<Item = u64> + '_ {
        self.inode_refs.iter().flatten().map(|inode| inode.reference())
    }

    fn write_children(&mut self, directory: NodeId) -> Result<(), SquashfsError> {
        let tree = self.tree;
        let Kind::Directory(names) = &tree.node(directory).kind else { return Ok(()) };
        let mut entries = Vec::with_capacity(names.len());
        for (name, &child) in names {
            let (number, kind) = (self.survey.facts(child).number, basic_type(&tree.node(child).kind));
            entries.push(Entry { name, inode: self.write_inode(child)?, number, kind });
        }
        let listing = directory::write(&entries, &mut self.directories)?;
        if listing.size > LARGEST_LISTING as usize {
            let (path, found) = (path_of(tree, directory), listing.size);
            return Err(SquashfsError::DirectorySize { path, found, most: LARGEST_LISTING });
        }
        if u32::try_from(self.directories.position().block).is_err() {
            return Err(SquashfsError::TableSize { path: path_of(tree, directory), table: "directory" });
        }
        self.listings.insert(directory, listing);
        Ok(())
    }

    /// Returns the reference to the inode of `id`. Writes the inode, unless another name of it came before.
    fn write_inode(&mut self, id: NodeId) -> Result<MetadataRef, SquashfsError> {
        let facts = self.survey.facts(id);
        let slot = facts.number as usize - 1;
        if let Some(written) = self.inode_refs[slot] {
            return Ok(written);
        }
        let node = self.tree.node(id);
        let listing = self.listings.remove(&id).unwrap_or_default();
        let body = match &node.kind {
            Kind::Directory(_) => Body::Directory {
                listing: listing.position,
                size: listing.size as u32,
                parent: facts.parent,
                index: &listing.index,
            },
            Kind::File(content) => {
                let stored = self.data.stored(id);
                Body::File(FileBody {
                    start: stored.start,
                    size: content.len(),
                    sparse: stored.sparse,
                    fragment: stored.fragment,
                    blocks: &stored.blocks,
                })
            }
            Kind::Symlink(target) => Body::Symlink(target),
            Kind::CharacterDevice { .. } | Kind::BlockDevice { .. } => Body::Device(facts.device),
            Kind::Fifo | Kind::Socket => Body::Ipc,
        };
        let inode = Inode {
            mode: node.metadata.mode,
            uid: facts.uid,
            gid: facts.gid,
            time: facts.time,
            number: facts.number,
            links: facts.links,
            xattrs: facts.xattrs,
            kind: basic_type(&node.kind),
            body,
        };
        let position = self.inodes.position();
        if u32::try_from(position.block).is_err() {
            return Err(SquashfsError::TableSize { path: path_of(self.tree, id), table: "inode" });
        }
        self.inodes.write(&inode.encode())?;
        self.inode_refs[slot] = Some(position);
        Ok(position)
    }
}

/// The first path that names `id`, for messages.
fn path_of(tree: &Tree, id: NodeId) -> TreePath {
    tree.walk().find(|(_, found)| *found == id).map(|(path, _)| path).unwrap_or_default()
}
