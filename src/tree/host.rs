//! Reading a folder of the build machine into a tree.

use super::{Content, Kind, Metadata, Node, NodeId, Tree, TreeError, TreePath};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

impl Tree {
    /// Reads `folder` with all below it: modes, owners, times, extended
    /// attributes, hard links and devices as the running user sees them.
    pub fn from_folder(folder: &Path) -> Result<Self, TreeError> {
        let stat =
            fs::symlink_metadata(folder).map_err(|source| TreeError::Host { path: folder.to_owned(), source })?;
        let mut tree = Self::new(metadata(folder, &stat)?);
        let mut links = HashMap::new();
        tree.read_folder(&TreePath::default(), folder, &mut links)?;
        Ok(tree)
    }

    fn read_folder(
        &mut self,
        at: &TreePath,
        folder: &Path,
        links: &mut HashMap<(u64, u64), NodeId>,
    ) -> Result<(), TreeError> {
        let failed = |source| TreeError::Host { path: folder.to_owned(), source };
        // In byte order, so that node numbers do not depend on the file system.
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            names.insert(entry.file_name().into_vec(), entry.path());
        }
        for (name, host) in names {
            let path = at.join(&name)?;
            let stat = fs::symlink_metadata(&host).map_err(|source| TreeError::Host { path: host.clone(), source })?;
            let key = (stat.dev(), stat.ino());
            if let Some(&first) = links.get(&key) {
                self.link(&path, first)?;
                continue;
            }
            let id = self.insert(&path, Node { metadata: metadata(&host, &stat)?, kind: kind(&host, &stat)? })?;
            if stat.is_dir() {
                self.read_folder(&path, &host, links)?;
            } else if stat.nlink() > 1 {
                links.insert(key, id);
            }
        }
        Ok(())
    }
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
        let target = fs::read_link(host).map_err(|source| TreeError::Host { path: host.to_owned(), source })?;
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

fn metadata(host: &Path, stat: &fs::Metadata) -> Result<Metadata, TreeError> {
    let failed = |source| TreeError::Host { path: host.to_owned(), source };
    let mut xattrs = BTreeMap::new();
    for name in xattr::list(host).map_err(failed)? {
        if let Some(value) = xattr::get(host, &name).map_err(failed)? {
            xattrs.insert(name.as_bytes().to_vec(), value);
        }
    }
    // The mask makes it fit.
    let mode = (stat.mode() & 0o7777) as u16;
    Ok(Metadata { mode, uid: stat.uid(), gid: stat.gid(), mtime: stat.mtime(), xattrs })
}
