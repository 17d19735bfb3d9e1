//! An ext4 file system of a tree, through the crate mkext4.

use crate::tree::{Content, Kind, NodeId, Tree, TreePath};
use mkext4::{FsBuilder, InodeHandle, Meta, Options, SpecialKind};
use std::collections::BTreeMap;
use std::io;

/// What the file system is besides its tree.
#[derive(Debug, Clone)]
pub struct Ext4Options {
    pub uuid: [u8; 16],
    /// At most 16 bytes.
    pub label: String,
    /// Bytes; `None`: what the tree needs, and as much again.
    pub size: Option<u64>,
    /// Seconds since 1970.
    pub time: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum Ext4Error {
    #[error("putting {path} into an ext4 file system: {source}")]
    Entry { path: TreePath, source: mkext4::Error },
    #[error("laying out an ext4 file system of {size} bytes: {source}")]
    Layout { size: u64, source: mkext4::Error },
    #[error("{path}: its name, target or attribute is not UTF-8, which the ext4 writer cannot hold")]
    NotUtf8 { path: TreePath },
    #[error("reading {path}: {source}")]
    Content { path: TreePath, source: io::Error },
}

/// Smaller than this leaves no room for a journal.
const SMALLEST: u64 = 16 << 20;
const BLOCK: u64 = 4096;

/// Bytes that [`write`] will make for `tree`.
pub fn size(tree: &Tree, options: &Ext4Options) -> u64 {
    let needed: u64 = tree
        .walk()
        .map(|(_, id)| match &tree.node(id).kind {
            // Data, and an inode of 256 bytes with its directory entry.
            Kind::File(content) => content.len().next_multiple_of(BLOCK) + 512,
            _ => BLOCK + 512,
        })
        .sum();
    let size = options.size.unwrap_or_else(|| SMALLEST.max(2 * needed + (8 << 20)));
    size.next_multiple_of(BLOCK)
}

/// The whole file system, in memory: config partitions are small.
pub fn write(tree: &Tree, options: &Ext4Options) -> Result<Vec<u8>, Ext4Error> {
    let size = size(tree, options);
    let laying = |source| Ext4Error::Layout { size, source };
    let mut settings = Options::new(size, options.uuid, options.time);
    settings.label = Some(options.label.clone());
    settings.reserved_percent = 0;
    let mut builder = FsBuilder::new(settings).map_err(laying)?;
    let mut declared: BTreeMap<NodeId, InodeHandle> = BTreeMap::new();
    let mut fills: Vec<(InodeHandle, Content, TreePath)> = Vec::new();
    for (path, id) in tree.walk() {
        let failed = |source| Ext4Error::Entry { path: path.clone(), source };
        let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Ext4Error::NotUtf8 { path: path.clone() }),
        };
        let node = tree.node(id);
        let meta = Meta::new(node.metadata.mode, node.metadata.uid, node.metadata.gid, (node.metadata.mtime, 0));
        let (Some(name), Some(parent)) = (path.name(), path.parent()) else {
            builder.set_meta(mkext4::ROOT, meta).map_err(failed)?;
            declared.insert(id, mkext4::ROOT);
            continue;
        };
        let name = text(name)?;
        // walk() yields parents before children.
        let parent = tree.lookup(&parent).and_then(|parent| declared.get(&parent).copied()).unwrap_or(mkext4::ROOT);
        if let Some(&first) = declared.get(&id) {
            builder.hardlink(parent, &name, first).map_err(failed)?;
            continue;
        }
        let handle = match &node.kind {
            Kind::Directory(_) => builder.mkdir(parent, &name, meta),
            Kind::File(content) => {
                let handle = builder.file(parent, &name, meta, content.len());
                if let Ok(handle) = handle {
                    fills.push((handle, content.clone(), path.clone()));
                }
                handle
            }
            Kind::Symlink(target) => builder.symlink(parent, &name, &text(target)?, meta),
            Kind::CharacterDevice { major, minor } => {
                builder.mknod(parent, &name, meta, SpecialKind::Char { major: *major, minor: *minor })
            }
            Kind::BlockDevice { major, minor } => {
                builder.mknod(parent, &name, meta, SpecialKind::Block { major: *major, minor: *minor })
            }
            Kind::Fifo => builder.mknod(parent, &name, meta, SpecialKind::Fifo),
            Kind::Socket => builder.mknod(parent, &name, meta, SpecialKind::Socket),
        }
        .map_err(failed)?;
        for (attribute, value) in &node.metadata.xattrs {
            builder.set_xattr(handle, &text(attribute)?, value).map_err(failed)?;
        }
        declared.insert(id, handle);
    }
    let layout = builder.seal().map_err(laying)?;
    let mut sink = mkext4::sink::VecSink { buf: Vec::new() };
    let mut writer = layout.writer(&mut sink).map_err(laying)?;
    for (handle, content, path) in fills {
        let mut reader = content.open().map_err(|source| Ext4Error::Content { path: path.clone(), source })?;
        writer.fill(handle, &mut reader).map_err(|source| Ext4Error::Entry { path, source })?;
    }
    writer.finish().map_err(laying)?;
    sink.buf.resize(usize::try_from(size).unwrap_or(usize::MAX), 0);
    Ok(sink.buf)
}
