//! cpio archives in the SVR4 "new ASCII" form, as the kernel unpacks them
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use crate::tree::{Kind, NodeId, Tree, TreePath};
use cpio::newc::{Builder, ModeFileType, trailer};
use std::collections::BTreeMap;
use std::io::{self, Write};

#[derive(Debug, thiserror::Error)]
pub enum CpioError {
    #[error("writing {path} to a cpio archive")]
    Write { path: TreePath, source: io::Error },
    #[error("{path} does not fit a cpio archive: found {found}, expected {expected}")]
    Value { path: TreePath, found: String, expected: &'static str },
}

/// Writes `tree` but for its root directory. Inode numbers follow the tree's
/// order, so that the same tree gives the same bytes.
pub fn write<W: Write>(tree: &Tree, mut out: W) -> Result<W, CpioError> {
    let mut names = BTreeMap::<NodeId, u32>::new();
    for (_, id) in tree.walk() {
        *names.entry(id).or_default() += 1;
    }
    let mut inodes = BTreeMap::<NodeId, u32>::new();
    for (path, id) in tree.walk().filter(|(path, _)| !path.is_root()) {
        let failed = |source| CpioError::Write { path: path.clone(), source };
        let unfit = |found: String, expected| CpioError::Value { path: path.clone(), found, expected };
        let next = inodes.len() as u32 + 1;
        let first = !inodes.contains_key(&id);
        let inode = *inodes.entry(id).or_insert(next);
        let node = tree.node(id);
        let bytes = path.to_bytes();
        // Archives name entries without the leading slash.
        let name = std::str::from_utf8(&bytes[1..]).map_err(|_| unfit(path.to_string(), "a name in UTF-8"))?;
        let mtime = u32::try_from(node.metadata.mtime)
            .map_err(|_| unfit(node.metadata.mtime.to_string(), "a time in 32 bits"))?;
        // The crate's `set_mode_file_type` keeps only what `mode` has set before it.
        let mut entry = Builder::new(name)
            .ino(inode)
            .mode(node.metadata.mode.into())
            .set_mode_file_type(file_type(&node.kind))
            .uid(node.metadata.uid)
            .gid(node.metadata.gid)
            .nlink(if matches!(node.kind, Kind::Directory(_)) { 2 } else { names[&id] })
            .mtime(mtime);
        if let Kind::CharacterDevice { major, minor } | Kind::BlockDevice { major, minor } = node.kind {
            entry = entry.rdev_major(major).rdev_minor(minor);
        }
        let content = match &node.kind {
            // The first name carries the bytes; the kernel links the later ones to it by inode.
            Kind::File(content) if first => content.read().map_err(failed)?,
            Kind::Symlink(target) => target.clone(),
            _ => Vec::new(),
        };
        let size = u32::try_from(content.len()).map_err(|_| unfit(content.len().to_string(), "a size in 32 bits"))?;
        let mut writer = entry.write(out, size);
        writer.write_all(&content).map_err(failed)?;
        out = writer.finish().map_err(failed)?;
    }
    trailer(out).map_err(|source| CpioError::Write { path: TreePath::default(), source })
}

fn file_type(kind: &Kind) -> ModeFileType {
    match kind {
        Kind::Directory(_) => ModeFileType::Directory,
        Kind::File(_) => ModeFileType::Regular,
        Kind::Symlink(_) => ModeFileType::Symlink,
        Kind::CharacterDevice { .. } => ModeFileType::Char,
        Kind::BlockDevice { .. } => ModeFileType::Block,
        Kind::Fifo => ModeFileType::Fifo,
        Kind::Socket => ModeFileType::Socket,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Metadata, Node};

    fn sample() -> Tree {
        let mut tree = Tree::new(Metadata::new(0o755));
        let path = |text: &str| TreePath::parse(text).unwrap();
        let file = tree.insert(&path("/init"), Node::file(Metadata::new(0o755).with_mtime(7), b"abc".to_vec().into()));
        tree.link(&path("/second"), file.unwrap()).unwrap();
        let console = Node { metadata: Metadata::new(0o600), kind: Kind::CharacterDevice { major: 5, minor: 1 } };
        tree.insert(&path("/dev/console"), console).unwrap();
        tree.insert(&path("/link"), Node::symlink("init", 7)).unwrap();
        tree
    }

    #[test]
    fn holds_what_the_tree_holds() {
        let bytes = write(&sample(), Vec::new()).unwrap();
        let mut rest = bytes.as_slice();
        let mut found = Vec::new();
        loop {
            let reader = cpio::newc::Reader::new(rest).unwrap();
            let entry = reader.entry();
            if entry.is_trailer() {
                break;
            }
            found.push((entry.name().to_owned(), entry.mode(), entry.ino(), entry.file_size(), entry.rdev_major()));
            rest = reader.finish().unwrap();
        }
        let entry = |name: &str, mode, inode, size, major| (name.to_owned(), mode, inode, size, major);
        assert_eq!(
            found,
            [
                entry("dev", 0o040755, 1, 0, 0),
                entry("dev/console", 0o020600, 2, 0, 5),
                entry("init", 0o100755, 3, 3, 0),
                entry("link", 0o120777, 4, 4, 0),
                entry("second", 0o100755, 3, 0, 0),
            ]
        );
    }

    #[test]
    fn is_the_same_each_time() {
        assert_eq!(write(&sample(), Vec::new()).unwrap(), write(&sample(), Vec::new()).unwrap());
    }

    #[test]
    fn refuses_a_time_that_does_not_fit() {
        let mut tree = Tree::new(Metadata::new(0o755));
        let file = Node::file(Metadata::new(0o644).with_mtime(-1), Vec::new().into());
        tree.insert(&TreePath::parse("/old").unwrap(), file).unwrap();
        assert!(matches!(write(&tree, Vec::new()), Err(CpioError::Value { .. })));
    }
}
