//! Loads a tar archive into a tree.

use super::{Entry, EntryKind, Limits, ResolveError, TarError, entries, resolve_in_tree};
use crate::tree::{Content, Kind, Node, Tree, TreeError, TreePath};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why an archive cannot be laid over a tree.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The place of an entry cannot be found.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The tree has no room for an entry there.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// An entry would replace a directory with what is in it.
    #[error("unpacking {path}: a directory that is not empty stands in its place")]
    Directory {
        /// The entry.
        path: TreePath,
    },
    /// The target of a hard link is no file of the tree.
    #[error("unpacking {path}: its hard link's target {target} is no file")]
    HardLink {
        /// The entry.
        path: TreePath,
        /// The target.
        target: TreePath,
    },
    /// The content of an entry cannot be read.
    #[error("unpacking {path}: reading the archive")]
    Read {
        /// The entry.
        path: TreePath,
        /// The reader's error.
        source: io::Error,
    },
    /// The file for large contents cannot be written.
    #[error("writing {}", path.display())]
    Spill {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Files up to this size stay in memory.
const SMALL: u64 = 4096;

/// Lays the archive over `tree`: later entries replace earlier ones, a directory
/// that is there gets the archive's metadata, and one that is reached through a
/// symlink stays behind it. Contents go to the new file `spill`, small ones to memory.
pub fn load_into(tree: &mut Tree, reader: impl Read, spill: &Path, limits: Limits) -> Result<(), LoadError> {
    let failed = |source| LoadError::Spill { path: spill.to_owned(), source };
    let file = File::create_new(spill).map_err(failed)?;
    let mut spill = Spill { path: Arc::new(spill.to_owned()), file, length: 0 };
    entries(reader, limits, |entry| place(tree, entry, &mut spill))
}

fn place(tree: &mut Tree, entry: Entry<'_>, spill: &mut Spill) -> Result<(), LoadError> {
    let Entry { path, metadata, kind } = entry;
    let mut path = resolve_in_tree(tree, &path)?;
    let kind = match kind {
        EntryKind::Directory => {
            // `lib/` where /lib leads to usr/lib is the directory behind the link, as for dpkg.
            let behind = match tree.get(&path).map(|node| &node.kind) {
                Some(Kind::Symlink(_)) => {
                    Some(resolve_in_tree(tree, &path.join(".directory").map_err(TreeError::Path)?)?)
                }
                _ => None,
            };
            let behind = behind.and_then(|inside| inside.parent());
            if let Some(behind) =
                behind.filter(|at| matches!(tree.get(at), Some(Node { kind: Kind::Directory(_), .. })))
            {
                path = behind;
            }
            if let Some(id) = tree.lookup(&path).filter(|id| matches!(tree.node(*id).kind, Kind::Directory(_))) {
                tree.node_mut(id).metadata = metadata;
                return Ok(());
            }
            tree.insert(&path, Node::directory(metadata))?;
            return Ok(());
        }
        EntryKind::File { length, content } => Kind::File(spill.store(&path, length, content)?),
        EntryKind::HardLink(target) => {
            let target = resolve_in_tree(tree, &target)?;
            let id = tree.lookup(&target).filter(|id| !matches!(tree.node(*id).kind, Kind::Directory(_)));
            let id = id.ok_or_else(|| LoadError::HardLink { path: path.clone(), target })?;
            refuse_directory(tree, &path)?;
            return Ok(tree.link(&path, id)?);
        }
        EntryKind::Symlink(target) => Kind::Symlink(target),
        EntryKind::CharacterDevice { major, minor } => Kind::CharacterDevice { major, minor },
        EntryKind::BlockDevice { major, minor } => Kind::BlockDevice { major, minor },
        EntryKind::Fifo => Kind::Fifo,
    };
    refuse_directory(tree, &path)?;
    tree.insert(&path, Node { metadata, kind })?;
    Ok(())
}

fn refuse_directory(tree: &Tree, path: &TreePath) -> Result<(), LoadError> {
    match tree.get(path).map(|node| &node.kind) {
        Some(Kind::Directory(entries)) if !entries.is_empty() => Err(LoadError::Directory { path: path.clone() }),
        _ => Ok(()),
    }
}

/// One host file that holds the contents of many.
struct Spill {
    path: Arc<PathBuf>,
    file: File,
    length: u64,
}

impl Spill {
    fn store(&mut self, path: &TreePath, length: u64, content: &mut dyn Read) -> Result<Content, LoadError> {
        let read = |source| LoadError::Read { path: path.clone(), source };
        if length <= SMALL {
            let mut bytes = Vec::with_capacity(length as usize);
            content.read_to_end(&mut bytes).map_err(read)?;
            return Ok(bytes.into());
        }
        let mut buffer = vec![0; 1 << 16];
        loop {
            // Apart, so that a broken archive is told from a full disk.
            let count = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(read(error)),
            };
            let failed = |source| LoadError::Spill { path: self.path.to_path_buf(), source };
            self.file.write_all(&buffer[..count]).map_err(failed)?;
        }
        let offset = self.length;
        self.length += length;
        Ok(Content::Host { path: Arc::clone(&self.path), offset, length, fingerprint: None })
    }
}
