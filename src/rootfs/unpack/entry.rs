//! Staged archive entries: contents are in files of their own, names and owners in memory, until
//! [`crate::rootfs::unpack::install`] moves them to their places.

use crate::tree::{Fingerprint, Metadata, TreePath};
use crate::util::sha256::Hasher;
use appliance_contract::Sha256;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct Entry {
    /// As the archive names it; a symlink may still stand on the way.
    pub path: TreePath,
    pub metadata: Metadata,
    pub kind: EntryKind,
}

#[derive(Debug, Clone)]
pub enum EntryKind {
    Directory,
    /// Content, with the metadata already set on it, in a file to be put into place.
    File {
        staged: PathBuf,
        known: Arc<Fingerprint>,
    },
    Symlink(Vec<u8>),
    /// Another name of an entry before it.
    HardLink(TreePath),
    CharacterDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
}

/// One hash for all that an archive's entries say, and for the content of its files.
pub fn digest(entries: &[Entry]) -> Sha256 {
    let mut hash = Hasher::default();
    entries.iter().for_each(|entry| add(&mut hash, entry));
    hash.finish()
}

fn add(hash: &mut Hasher, entry: &Entry) {
    // Lengths come first, so that no two lists of entries are the same bytes.
    let bytes = |hash: &mut Hasher, bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    bytes(hash, &entry.path.to_bytes());
    let Metadata { mode, uid, gid, mtime, xattrs } = &entry.metadata;
    hash.update(mode.to_le_bytes());
    hash.update(uid.to_le_bytes());
    hash.update(gid.to_le_bytes());
    hash.update(mtime.to_le_bytes());
    hash.update((xattrs.len() as u64).to_le_bytes());
    for (name, value) in xattrs {
        bytes(hash, name);
        bytes(hash, value);
    }
    let device = |hash: &mut Hasher, kind, major: &u32, minor: &u32| {
        hash.update([kind]);
        hash.update(major.to_le_bytes());
        hash.update(minor.to_le_bytes());
    };
    match &entry.kind {
        EntryKind::Directory => hash.update(b"d"),
        EntryKind::File { known, .. } => {
            hash.update(b"f");
            hash.update(known.digest());
        }
        EntryKind::Symlink(target) => {
            hash.update(b"l");
            bytes(hash, target);
        }
        EntryKind::HardLink(target) => {
            hash.update(b"h");
            bytes(hash, &target.to_bytes());
        }
        EntryKind::CharacterDevice { major, minor } => device(hash, b'c', major, minor),
        EntryKind::BlockDevice { major, minor } => device(hash, b'b', major, minor),
        EntryKind::Fifo => hash.update(b"p"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Fingerprint;

    #[test]
    fn whatever_an_entry_says_changes_the_digest() {
        let file = |content: &[u8]| EntryKind::File {
            staged: PathBuf::from("/somewhere"),
            known: Arc::new(Fingerprint::of(content).unwrap()),
        };
        let entry =
            |path: &str, metadata: Metadata, kind| Entry { path: TreePath::parse(path).unwrap(), metadata, kind };
        let plain = || Metadata::new(0o644);
        let mut named = plain();
        named.xattrs.insert(b"user.a".to_vec(), b"b".to_vec());
        let lists = [
            vec![],
            vec![entry("/a", plain(), file(b"one"))],
            vec![entry("/a", plain(), file(b"two"))],
            vec![entry("/b", plain(), file(b"one"))],
            vec![entry("/a", Metadata::new(0o600), file(b"one"))],
            vec![entry("/a", plain().with_owner(1, 0), file(b"one"))],
            vec![entry("/a", plain().with_owner(0, 1), file(b"one"))],
            vec![entry("/a", plain().with_mtime(1), file(b"one"))],
            vec![entry("/a", named, file(b"one"))],
            vec![entry("/a", plain(), EntryKind::Directory)],
            vec![entry("/a", plain(), EntryKind::Fifo)],
            vec![entry("/a", plain(), EntryKind::Symlink(b"b".to_vec()))],
            vec![entry("/a", plain(), EntryKind::HardLink(TreePath::parse("/b").unwrap()))],
            vec![entry("/a", plain(), EntryKind::CharacterDevice { major: 1, minor: 2 })],
            vec![entry("/a", plain(), EntryKind::CharacterDevice { major: 2, minor: 1 })],
            vec![entry("/a", plain(), EntryKind::BlockDevice { major: 1, minor: 2 })],
        ];
        for (index, one) in lists.iter().enumerate() {
            for other in &lists[..index] {
                assert_ne!(digest(one), digest(other), "{one:?} and {other:?}");
            }
        }
        // Where the content is staged is none of it.
        let elsewhere =
            EntryKind::File { staged: PathBuf::new(), known: Arc::new(Fingerprint::of(&b"one"[..]).unwrap()) };
        assert_eq!(digest(&lists[1]), digest(&[entry("/a", plain(), elsewhere)]));
    }
}
