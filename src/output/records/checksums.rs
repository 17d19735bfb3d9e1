//! SHA-256 of a tree's files, and the `SHA256SUMS` that lists them.

use crate::tree::{Content, Kind, Tree, TreePath, in_parallel};
use crate::util::sha256::{self, Hasher};
use appliance_contract::Sha256;
use appliance_contract::manifest::File;
use std::collections::BTreeMap;
use std::fs::File as HostFile;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::Receiver;

/// Hashes by path, of every regular file.
pub type Hashes = BTreeMap<TreePath, Sha256>;

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("reading {path} for its checksum")]
pub struct ChecksumError {
    /// The file.
    pub path: TreePath,
    /// The system's error.
    pub source: io::Error,
}

/// Of the file at `path` while it is written: up to each of the ends that `written` tells, the last of which is the file's.
pub fn while_written(path: &Path, written: Receiver<u64>) -> io::Result<Sha256> {
    let mut file = HostFile::open(path)?;
    let (mut hash, mut buffer, mut done) = (Hasher::default(), vec![0; 1 << 20], 0);
    for end in written {
        while done < end {
            let length = usize::try_from(end - done).unwrap_or(usize::MAX).min(buffer.len());
            file.read_exact(&mut buffer[..length])?;
            hash.update(&buffer[..length]);
            done += length as u64;
        }
    }
    Ok(hash.finish())
}

/// SHA-256 of a file's content.
pub fn of_content(content: &Content) -> io::Result<Sha256> {
    match content {
        Content::Bytes(bytes) => Ok(sha256::of(bytes)),
        Content::Host { .. } => Ok(sha256::of_reader(content.open()?)?.0),
    }
}

/// Adds the hashes of the files that have none there.
pub fn add_tree(hashes: &mut Hashes, tree: &Tree) -> Result<(), ChecksumError> {
    let files: Vec<(TreePath, &Content)> = tree
        .walk()
        .filter_map(|(path, id)| match &tree.node(id).kind {
            Kind::File(content) if !hashes.contains_key(&path) => Some((path, content)),
            _ => None,
        })
        .collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let found = in_parallel(files.len(), threads, |index| {
        let (path, content) = &files[index];
        of_content(content).map_err(|source| ChecksumError { path: path.clone(), source })
    })?;
    hashes.extend(files.into_iter().map(|(path, _)| path).zip(found));
    Ok(())
}

/// The manifest's list of files.
pub fn files(tree: &Tree, hashes: &Hashes) -> Vec<File> {
    let size = |path: &TreePath| match tree.get(path).map(|node| &node.kind) {
        Some(Kind::File(content)) => content.len(),
        _ => 0,
    };
    let file = |(path, hash): (&TreePath, &Sha256)| File { path: path.to_string(), size: size(path), sha256: *hash };
    hashes.iter().map(file).collect()
}

/// Lines for `sha256sum --check`, run where the medium is mounted.
pub fn render(hashes: &Hashes) -> Vec<u8> {
    let mut text = Vec::new();
    for (path, hash) in hashes {
        let path = path.to_bytes();
        // sha256sum marks a line whose name is escaped with a backslash before all.
        let escaped = path.iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r'));
        if escaped {
            text.push(b'\\');
        }
        text.extend(hash.to_string().bytes());
        text.extend(b"  ");
        for &byte in &path[1..] {
            match byte {
                b'\\' => text.extend(br"\\"),
                b'\n' => text.extend(br"\n"),
                b'\r' => text.extend(br"\r"),
                _ => text.push(byte),
            }
        }
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Metadata, Node};
    use appliance_contract::causes::WithCauses as _;

    #[test]
    fn lists_files_as_sha256sum_does() {
        let mut tree = Tree::new(Metadata::new(0o755));
        for name in ["b/c", "a\\b"] {
            let node = Node::file(Metadata::new(0o644), b"abc".to_vec().into());
            tree.insert(&TreePath::parse(name).unwrap(), node).unwrap();
        }
        tree.insert(&TreePath::parse("/link").unwrap(), Node::symlink("b/c", 0)).unwrap();
        let mut hashes = Hashes::new();
        add_tree(&mut hashes, &tree).unwrap();
        // FIPS 180-4's own example.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(String::from_utf8(render(&hashes)).unwrap(), format!("\\{abc}  a\\\\b\n{abc}  b/c\n"));
        let files = files(&tree, &hashes);
        assert_eq!((files[1].path.as_str(), files[1].size, files[1].sha256), ("/b/c", 3, abc.parse().unwrap()));
    }

    #[test]
    fn a_file_that_is_gone_is_named() {
        let mut tree = Tree::new(Metadata::new(0o755));
        let gone = Content::host("/nonexistent/file".into(), 3);
        tree.insert(&TreePath::parse("/x").unwrap(), Node::file(Metadata::new(0o644), gone)).unwrap();
        let mut hashes = Hashes::new();
        assert!(add_tree(&mut hashes, &tree).unwrap_err().with_causes().starts_with("reading /x for its checksum: "));
        // One that has its hash is not read.
        hashes.insert(TreePath::parse("/x").unwrap(), [1; 32].into());
        add_tree(&mut hashes, &tree).unwrap();
        assert_eq!(hashes.len(), 1);
    }
}
