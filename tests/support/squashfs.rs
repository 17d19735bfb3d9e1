//! An independent reader: compares what `unsquashfs` finds in an image with the tree that was written.

use crate::judges::judge;
use crate::target_tmp;
use applbuild::format::squashfs::{self, Compression, NoCache, Options};
use applbuild::progress::Silent;
use applbuild::tree::{Kind, Node, NodeId, Tree};
use std::collections::HashMap;
use std::fs::File;
use std::num::NonZero;
use std::path::Path;

pub const BLOCK: u32 = 128 << 10;

pub fn options(threads: usize) -> Options {
    Options {
        compression: Compression::Zstd { level: 3 },
        block_size: BLOCK,
        threads: NonZero::new(threads).expect("tests ask for one at least"),
        time: 1_700_000_000,
    }
}

pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(target_tmp()).expect("making a folder for a test")
}

/// Writes `tree` and compares the image with it.
#[track_caller]
pub fn check(tree: &Tree, options: &Options) {
    let folder = folder();
    let image = folder.path().join("image.squashfs");
    write(tree, options, &image);
    compare(tree, &image);
}

#[track_caller]
pub fn write(tree: &Tree, options: &Options, image: &Path) -> squashfs::Summary {
    let mut file = File::create(image).expect("making an image file");
    let summary = squashfs::write(tree, options, &NoCache, &mut file, &Silent).expect("writing a squashfs");
    let size = file.metadata().expect("asking for the image's size").len();
    assert_eq!(size, summary.size);
    assert_eq!(size % 4096, 0);
    summary
}

#[track_caller]
pub fn compare(tree: &Tree, image: &Path) {
    compare_listing(tree, &unsquashfs(&["-UTC", "-lln"], &[image]));
    let folder = folder();
    let out = folder.path().join("out");
    unsquashfs(&["-no-progress", "-processors", "2", "-dest"], &[&out, image]);
    compare_extracted(tree, &Tree::from_directory(&out).expect("reading what unsquashfs wrote"));
}

#[track_caller]
pub fn unsquashfs(options: &[&str], paths: &[&Path]) -> Vec<u8> {
    let output = judge("unsquashfs").args(options).args(paths).output().expect("running unsquashfs");
    // As an ordinary user it skips devices and attributes and exits with code 2.
    let fine = output.status.success() || (!is_root() && output.status.code() == Some(2));
    assert!(fine, "unsquashfs {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// `unsquashfs -lln` lists type, mode, owner, size, device and minute of every entry, also for an ordinary user.
#[track_caller]
fn compare_listing(tree: &Tree, listing: &[u8]) {
    let mut rest = listing;
    for (path, id) in tree.walk() {
        let node = tree.node(id);
        let mut line = Line { rest, path: path.to_string() };
        assert_eq!(line.word(), mode(node), "mode of {path}");
        assert_eq!(line.word(), format!("{}/{}", node.metadata.uid, node.metadata.gid), "owner of {path}");
        match &node.kind {
            Kind::CharacterDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                // "  1,  3": short numbers are padded with spaces.
                let mut found = line.word();
                if found.ends_with(',') {
                    found += &line.word();
                }
                assert_eq!(found, format!("{major},{minor}"), "device {path}");
            }
            Kind::File(content) => assert_eq!(line.word(), content.len().to_string(), "size of {path}"),
            Kind::Symlink(target) => assert_eq!(line.word(), target.len().to_string(), "size of {path}"),
            _ => drop(line.word()),
        }
        let time = time::OffsetDateTime::from_unix_timestamp(node.metadata.mtime).expect("a time of the test");
        let minute = format!("{:02}:{:02}", time.hour(), time.minute());
        assert_eq!((line.word(), line.word()), (time.date().to_string(), minute), "time of {path}");
        let mut name = b"squashfs-root".to_vec();
        if !path.is_root() {
            name.extend(path.to_bytes());
        }
        if let Kind::Symlink(target) = &node.kind {
            name.extend(b" -> ");
            name.extend(target);
        }
        name.push(b'\n');
        assert_eq!(
            String::from_utf8_lossy(&line.rest[..name.len().min(line.rest.len())]),
            String::from_utf8_lossy(&name)
        );
        rest = &line.rest[name.len()..];
    }
    assert_eq!(String::from_utf8_lossy(rest), "", "entries that the tree does not have");
}

struct Line<'a> {
    rest: &'a [u8],
    path: String,
}

impl Line<'_> {
    #[track_caller]
    fn word(&mut self) -> String {
        let start = self.rest.iter().position(|&byte| byte != b' ').unwrap_or(0);
        let length = self.rest[start..].iter().position(|&byte| byte == b' ');
        let end = start + length.unwrap_or_else(|| panic!("the listing ends before {}", self.path));
        let word = String::from_utf8_lossy(&self.rest[start..end]).into_owned();
        self.rest = &self.rest[end + 1..];
        word
    }
}

fn mode(node: &Node) -> String {
    let kind = match node.kind {
        Kind::Directory(_) => 'd',
        Kind::File(_) => '-',
        Kind::Symlink(_) => 'l',
        Kind::CharacterDevice { .. } => 'c',
        Kind::BlockDevice { .. } => 'b',
        Kind::Fifo => 'p',
        Kind::Socket => 's',
    };
    let bits = node.metadata.mode;
    let mut text = String::from(kind);
    for (shift, special, set, plain) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let three = bits >> shift;
        text.push(if three & 4 != 0 { 'r' } else { '-' });
        text.push(if three & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & special != 0, three & 1 != 0) {
            (true, true) => set,
            (true, false) => plain,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// Compares content, times to the second, links and attributes; as root, also owners and devices.
#[track_caller]
fn compare_extracted(expected: &Tree, found: &Tree) {
    let mut links: HashMap<NodeId, NodeId> = HashMap::new();
    let mut names = 0;
    for (path, id) in expected.walk() {
        let node = expected.node(id);
        if !is_root() && matches!(node.kind, Kind::CharacterDevice { .. } | Kind::BlockDevice { .. }) {
            continue;
        }
        names += 1;
        let other = found.lookup(&path).unwrap_or_else(|| panic!("{path} is missing"));
        let first = *links.entry(id).or_insert(other);
        assert_eq!(first, other, "{path} is no longer a hard link");
        compare_node(&path.to_string(), node, found.node(other));
    }
    assert_eq!(names, found.walk().count(), "more entries than the tree has");
    let nodes: std::collections::HashSet<_> = links.values().collect();
    assert_eq!(nodes.len(), links.len(), "files that are two in the tree are hard links of each other");
}

#[track_caller]
fn compare_node(path: &str, expected: &Node, found: &Node) {
    assert_eq!(expected.kind.name(), found.kind.name(), "type of {path}");
    assert_eq!(expected.metadata.mtime, found.metadata.mtime, "time of {path}");
    let mut xattrs = expected.metadata.xattrs.clone();
    if is_root() {
        assert_eq!(expected.metadata.uid, found.metadata.uid, "user of {path}");
        assert_eq!(expected.metadata.gid, found.metadata.gid, "group of {path}");
        assert_eq!(expected.metadata.mode, found.metadata.mode, "mode of {path}");
    } else {
        xattrs.retain(|name, _| name.starts_with(b"user."));
    }
    assert_eq!(xattrs, found.metadata.xattrs, "attributes of {path}");
    match (&expected.kind, &found.kind) {
        (Kind::File(expected), Kind::File(found)) => {
            let (expected, found) = (expected.read().expect("reading"), found.read().expect("reading"));
            assert!(expected == found, "content of {path}");
        }
        (Kind::Symlink(expected), Kind::Symlink(found)) => assert_eq!(expected, found, "target of {path}"),
        (
            Kind::CharacterDevice { major, minor } | Kind::BlockDevice { major, minor },
            Kind::CharacterDevice { major: found_major, minor: found_minor }
            | Kind::BlockDevice { major: found_major, minor: found_minor },
        ) => assert_eq!((major, minor), (found_major, found_minor), "device {path}"),
        _ => {}
    }
}
