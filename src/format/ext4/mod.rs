//! An ext4 file system of a tree, through the crate mkext4.

mod measure;

use crate::tree::{Content, Kind, NodeId, Tree, TreePath};
use measure::Measured;
use mkext4::{FsBuilder, InodeCount, InodeHandle, Meta, Options, RegionSink, SpecialKind};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// What the file system is besides its tree.
#[derive(Debug, Clone)]
pub struct Ext4Options {
    /// The superblock's UUID, in the order of its text form.
    pub uuid: [u8; 16],
    /// At most 16 bytes.
    pub label: String,
    /// Bytes, rounded down to a mebibyte; `None`: what the tree needs, and as much again.
    pub size: Option<u64>,
    /// Seconds since 1970.
    pub time: i64,
}

/// An error of the crate `mkext4`, whose own type prints its cause and gives it as its source too.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// The system's error.
    #[error(transparent)]
    Io(io::Error),
    /// Anything else.
    #[error("{0}")]
    Other(mkext4::Error),
}

impl From<mkext4::Error> for WriterError {
    fn from(error: mkext4::Error) -> Self {
        match error {
            mkext4::Error::Io(error) => Self::Io(error),
            error => Self::Other(error),
        }
    }
}

/// Why a tree cannot be written as ext4.
#[derive(Debug, thiserror::Error)]
pub enum Ext4Error {
    /// The writer refuses an entry.
    #[error("putting {path} into an ext4 file system")]
    Entry {
        /// The entry.
        path: TreePath,
        /// The writer's error.
        source: WriterError,
    },
    /// The writer refuses the file system as a whole.
    #[error("laying out an ext4 file system of {size} bytes")]
    Layout {
        /// Bytes of the file system.
        size: u64,
        /// The writer's error.
        source: WriterError,
    },
    /// The given size is too small.
    #[error("an ext4 file system of {size} bytes does not hold these files; expected {least} bytes at least")]
    TooSmall {
        /// The size that was given, in bytes.
        size: u64,
        /// The smallest size that holds the tree, in bytes.
        least: u64,
    },
    /// The writer takes names as text.
    #[error("{path}: its name, target or attribute is not UTF-8, which the ext4 writer cannot hold")]
    NotUtf8 {
        /// The entry.
        path: TreePath,
    },
    /// `lost+found` is the file system's own.
    #[error("{path} is a name that ext4 keeps for itself; give it another")]
    Reserved {
        /// The entry.
        path: TreePath,
    },
    /// A file's content cannot be read.
    #[error("reading {path}")]
    Content {
        /// The file in the tree.
        path: TreePath,
        /// The system's error.
        source: io::Error,
    },
}

/// Smaller than this leaves no room for a journal.
const SMALLEST: u64 = 16 << 20;
const BLOCK: u64 = 4096;
/// Sizes are multiples of this, so that the last of the block groups, which begin at multiples of 128 MiB, has room for
/// its backup of the superblock.
const STEP: u64 = 1 << 20;
/// Bytes for each inode, as mke2fs has it.
const INODE_RATIO: u64 = 16_384;
/// No file system with block numbers of 32 bits has as many bytes; mkext4 refuses it.
const TOO_LARGE: u64 = 1 << 50;
/// e2fsck puts into this directory what it finds without a name; the crate makes it.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// A file system whose size is settled and which is not yet written.
#[derive(Debug)]
pub struct Ext4<'a> {
    tree: &'a Tree,
    options: &'a Ext4Options,
    size: u64,
    inodes: u32,
}

impl<'a> Ext4<'a> {
    /// Settles the size: the one in `options`, or what the tree needs.
    pub fn plan(tree: &'a Tree, options: &'a Ext4Options) -> Result<Self, Ext4Error> {
        let names: Vec<NodeId> = tree.walk().map(|(_, id)| id).collect();
        let nodes = names.iter().collect::<BTreeSet<_>>().len() as u64;
        let data = tree.walk().map(|(_, id)| length(&tree.node(id).kind)).fold(0, u64::saturating_add).min(TOO_LARGE);
        // More than enough: a block holds 15 entries of a directory at least, and an inode has two blocks beside its
        // data at most, for a long target and attributes, and one that is not full. Nothing of this size is written.
        let roomy = SMALLEST + 2 * (data + names.len() as u64 * 5 * BLOCK).next_multiple_of(STEP);
        let trial = Self { tree, options, size: roomy, inodes: inodes(roomy, nodes) };
        let content = Measured::of(&trial.lay_out()?.0).map_err(trial.laying())?.content();
        let needed = |content, spare| Needed { content, nodes, inodes: nodes * spare };
        match options.size {
            None => {
                let size = needed(2 * content, 2).least(options)?;
                Ok(Self { size, inodes: inodes(size, 2 * nodes), ..trial })
            }
            Some(given) => {
                let least = needed(content, 1).least(options)?;
                let size = given / STEP * STEP;
                if size < least {
                    return Err(Ext4Error::TooSmall { size: given, least });
                }
                Ok(Self { size, inodes: inodes(size, nodes), ..trial })
            }
        }
    }

    /// Bytes of the file system.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The whole file system, in memory: config partitions are small.
    pub fn write(&self) -> Result<Vec<u8>, Ext4Error> {
        let (layout, files) = self.lay_out()?;
        let mut image = Image(vec![0; usize::try_from(self.size).unwrap_or(usize::MAX)]);
        let mut writer = layout.writer(&mut image).map_err(self.laying())?;
        // The crate has no blocks to fill for an empty file.
        for File { handle, content, path } in files.into_iter().filter(|file| !file.content.is_empty()) {
            let mut reader = content.open().map_err(|source| Ext4Error::Content { path: path.clone(), source })?;
            writer.fill(handle, &mut reader).map_err(|error| Ext4Error::Entry { path, source: error.into() })?;
        }
        writer.finish().map_err(self.laying())?;
        Ok(image.0)
    }

    fn laying(&self) -> impl Fn(mkext4::Error) -> Ext4Error {
        let size = self.size;
        move |error| Ext4Error::Layout { size, source: error.into() }
    }

    fn lay_out(&self) -> Result<(mkext4::Layout, Vec<File>), Ext4Error> {
        let builder = FsBuilder::new(settings(self.options, self.size, self.inodes)).map_err(self.laying())?;
        let (builder, files) = declare(self.tree, builder)?;
        Ok((builder.seal().map_err(self.laying())?, files))
    }
}

/// What a file system must have room for.
struct Needed {
    /// Blocks.
    content: u64,
    nodes: u64,
    /// With the spare ones.
    inodes: u64,
}

impl Needed {
    /// The least size with room for it. What the file system itself needs is measured on an empty one.
    fn least(&self, options: &Ext4Options) -> Result<u64, Ext4Error> {
        let mut size = SMALLEST;
        loop {
            let failed = |error: mkext4::Error| Ext4Error::Layout { size, source: error.into() };
            let empty = FsBuilder::new(settings(options, size, inodes(size, self.inodes))).and_then(FsBuilder::seal);
            let room = Measured::of(&empty.map_err(failed)?).map_err(failed)?;
            size += match self.content.saturating_sub(room.room()) {
                // Each block group has a bounded number of inodes.
                0 if room.inodes < self.nodes + measure::RESERVED_INODES => STEP,
                0 => return Ok(size),
                // The room of a larger one does not grow by more than its size.
                missing => (missing * BLOCK).next_multiple_of(STEP),
            };
        }
    }
}

/// Inodes of a file system of `size` bytes: `nodes` of ours, or as many as such a one has in any case.
fn inodes(size: u64, nodes: u64) -> u32 {
    u32::try_from((nodes + measure::RESERVED_INODES).max(size / INODE_RATIO)).unwrap_or(u32::MAX)
}

fn settings(options: &Ext4Options, size: u64, inodes: u32) -> Options {
    let mut settings = Options::new(size, options.uuid, options.time);
    settings.label = Some(options.label.clone());
    settings.reserved_percent = 0;
    settings.inodes = InodeCount::Exact(inodes);
    settings
}

/// A file whose bytes are to follow.
struct File {
    handle: InodeHandle,
    content: Content,
    path: TreePath,
}

/// Tells `builder` of every entry of `tree`.
fn declare(tree: &Tree, mut builder: FsBuilder) -> Result<(FsBuilder, Vec<File>), Ext4Error> {
    let mut declared: BTreeMap<NodeId, InodeHandle> = BTreeMap::new();
    let mut files = Vec::new();
    for (path, id) in tree.walk() {
        let failed = |error: mkext4::Error| Ext4Error::Entry { path: path.clone(), source: error.into() };
        let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Ext4Error::NotUtf8 { path: path.clone() }),
        };
        let node = tree.node(id);
        let meta = Meta::new(node.metadata.mode, node.metadata.uid, node.metadata.gid, (node.metadata.mtime, 0));
        let (handle, new) = match (path.name(), path.parent(), declared.get(&id)) {
            (Some(name), Some(parent), first) => {
                if parent.is_root() && name == LOST_AND_FOUND {
                    return Err(Ext4Error::Reserved { path });
                }
                let name = text(name)?;
                // walk() yields parents before children.
                let parent = tree.lookup(&parent).and_then(|parent| declared.get(&parent).copied());
                let parent = parent.unwrap_or(mkext4::ROOT);
                match first {
                    Some(&first) => (builder.hardlink(parent, &name, first).map(|()| first), false),
                    None => match &node.kind {
                        Kind::Symlink(target) => (builder.symlink(parent, &name, &text(target)?, meta), true),
                        kind => (entry(&mut builder, parent, &name, kind, meta), true),
                    },
                }
            }
            _ => (builder.set_meta(mkext4::ROOT, meta).map(|()| mkext4::ROOT), true),
        };
        let handle = handle.map_err(failed)?;
        if !new {
            continue;
        }
        for (attribute, value) in &node.metadata.xattrs {
            builder.set_xattr(handle, &text(attribute)?, value).map_err(failed)?;
        }
        if let Kind::File(content) = &node.kind {
            files.push(File { handle, content: content.clone(), path });
        }
        declared.insert(id, handle);
    }
    Ok((builder, files))
}

/// Declares what is not a symbolic link.
fn entry(
    builder: &mut FsBuilder,
    parent: InodeHandle,
    name: &str,
    kind: &Kind,
    meta: Meta,
) -> mkext4::Result<InodeHandle> {
    let special = match kind {
        Kind::CharacterDevice { major, minor } => SpecialKind::Char { major: *major, minor: *minor },
        Kind::BlockDevice { major, minor } => SpecialKind::Block { major: *major, minor: *minor },
        Kind::Fifo => SpecialKind::Fifo,
        Kind::Socket => SpecialKind::Socket,
        Kind::Directory(_) => return builder.mkdir(parent, name, meta),
        _ => return builder.file(parent, name, meta, length(kind)),
    };
    builder.mknod(parent, name, meta, special)
}

fn length(kind: &Kind) -> u64 {
    if let Kind::File(content) = kind { content.len() } else { 0 }
}

/// Zeros to begin with, so that only the rest is written.
struct Image(Vec<u8>);

impl RegionSink for Image {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let room = start.checked_add(bytes.len()).and_then(|end| self.0.get_mut(start..end));
        room.ok_or(io::ErrorKind::WriteZero)?.copy_from_slice(bytes);
        Ok(())
    }

    fn zeros(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }
}
