//! Reading a folder of the build machine into a tree.

use super::{Content, Kind, Metadata, Node, NodeId, Tree, TreeError, in_parallel};
use crate::util::file_error::{At as _, FileError};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;

impl Tree {
    /// Reads `folder` with all below it: modes, owners, times, extended
    /// attributes, hard links and devices as the running user sees them.
    pub fn from_folder(folder: &Path) -> Result<Self, TreeError> {
        let stat = fs::symlink_metadata(folder).at("reading", folder)?;
        let mut tree = Self::new(metadata(folder, &stat)?);
        let mut found = look(folder)?;
        tree.take_folder(Self::ROOT, folder, &mut found, &mut HashMap::new());
        Ok(tree)
    }

    /// Fills the directory `at` with what was found in `folder`.
    fn take_folder(
        &mut self,
        at: NodeId,
        folder: &Path,
        found: &mut HashMap<PathBuf, Entries>,
        links: &mut HashMap<(u64, u64), NodeId>,
    ) {
        let mut entries = BTreeMap::new();
        for (name, Entry { node, inode, has_names }) in found.remove(folder).unwrap_or_default() {
            if let Some(&first) = links.get(&inode) {
                entries.insert(name, first);
                continue;
            }
            let id = NodeId(self.nodes.len());
            let is_directory = matches!(node.kind, Kind::Directory(_));
            self.nodes.push(node);
            if is_directory {
                self.take_folder(id, &folder.join(OsStr::from_bytes(&name)), found, links);
            } else if has_names {
                links.insert(inode, id);
            }
            entries.insert(name, id);
        }
        self.nodes[at.0].kind = Kind::Directory(entries);
    }
}

/// What a folder holds, in byte order, so that node numbers do not depend on the file system.
type Entries = BTreeMap<Vec<u8>, Entry>;

struct Entry {
    node: Node,
    /// Device and inode.
    inode: (u64, u64),
    /// There is more than one name for it.
    has_names: bool,
}

/// Reads all folders from `top` on, on all cores: those of a depth at a time.
fn look(top: &Path) -> Result<HashMap<PathBuf, Entries>, TreeError> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut found = HashMap::new();
    let mut depth = vec![top.to_owned()];
    while !depth.is_empty() {
        let read = in_parallel(depth.len(), threads, |index| read(&depth[index]))?;
        let mut deeper = Vec::new();
        for (folder, entries) in depth.into_iter().zip(read) {
            let folders = entries.iter().filter(|(_, entry)| matches!(entry.node.kind, Kind::Directory(_)));
            deeper.extend(folders.map(|(name, _)| folder.join(OsStr::from_bytes(name))));
            found.insert(folder, entries);
        }
        depth = deeper;
    }
    Ok(found)
}

fn read(folder: &Path) -> Result<Entries, TreeError> {
    let failed = |source| TreeError::from(FileError::new("reading", folder.to_owned(), source));
    let mut entries = Entries::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (name, host) = (entry.file_name(), entry.path());
        let stat = entry.metadata().at("reading", &host)?;
        let node = Node { metadata: metadata(&host, &stat)?, kind: kind(&host, &stat)? };
        let entry = Entry { node, inode: (stat.dev(), stat.ino()), has_names: stat.nlink() > 1 };
        entries.insert(name.into_vec(), entry);
    }
    Ok(entries)
}

fn kind(host: &Path, stat: &fs::Metadata) -> Result<Kind, TreeError> {
    let device = || {
        let number = stat.rdev();
        (nix::sys::stat::major(number) as u32, nix::sys::stat::minor(number) as u32)
    };
    let kind = stat.file_type();
    Ok(if kind.is_dir() {
        Kind::Directory(BTreeMap::new())
    } else if kind.is_symlink() {
        let target = fs::read_link(host).at("reading", host)?;
        Kind::Symlink(target.into_os_string().into_vec())
    } else if kind.is_char_device() {
        let (major, minor) = device();
        Kind::CharacterDevice { major, minor }
    } else if kind.is_block_device() {
        let (major, minor) = device();
        Kind::BlockDevice { major, minor }
    } else if kind.is_fifo() {
        Kind::Fifo
    } else if kind.is_socket() {
        Kind::Socket
    } else {
        Kind::File(Content::host(host.to_owned(), stat.len()))
    })
}

/// A file system that has no extended attributes (squashfs without a table of them, NFS, FAT through FUSE) may answer
/// EOPNOTSUPP, which means none.
fn none_where_unsupported<T>(answer: io::Result<Option<T>>) -> io::Result<Option<T>> {
    match answer {
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EOPNOTSUPP as i32) => Ok(None),
        answer => answer,
    }
}

fn metadata(host: &Path, stat: &fs::Metadata) -> Result<Metadata, TreeError> {
    let failed = |source| TreeError::from(FileError::new("reading", host.to_owned(), source));
    let mut xattrs = BTreeMap::new();
    for name in none_where_unsupported(xattr::list(host).map(Some)).map_err(failed)?.into_iter().flatten() {
        if let Some(value) = none_where_unsupported(xattr::get(host, &name)).map_err(failed)? {
            xattrs.insert(name.as_bytes().to_vec(), value);
        }
    }
    // The mask makes it fit.
    let mode = (stat.mode() & 0o7777) as u16;
    Ok(Metadata { mode, uid: stat.uid(), gid: stat.gid(), mtime: stat.mtime(), xattrs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_system_without_attributes_means_none() {
        let answer = |number| none_where_unsupported::<u8>(Err(io::Error::from_raw_os_error(number)));
        assert_eq!(answer(nix::errno::Errno::ENOTSUP as i32).unwrap(), None);
        assert!(answer(nix::errno::Errno::EIO as i32).is_err());
        assert_eq!(none_where_unsupported(Ok(Some(1))).unwrap(), Some(1));
    }
}
