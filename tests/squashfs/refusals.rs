//! What squashfs cannot store, and errors while writing.

use applbuild::format::squashfs::{Compression, NoCache, Options, SquashfsError, write};
use applbuild::progress::{Progress, Silent, Stage, Unit};
use applbuild::tree::{Content, Kind, Metadata, Node, Tree, TreePath};
use applbuild_test_support::squashfs::{check, folder, options};
use appliance_contract::causes::WithCauses as _;
use std::fs;
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicU64, Ordering};

fn path(text: &str) -> TreePath {
    TreePath::parse(text).expect("a path of the test")
}

/// Writes a tree whose only file is made by `change`; must fail.
#[track_caller]
fn refused(change: impl FnOnce(&mut Node)) -> String {
    let mut tree = Tree::new(Metadata::new(0o755));
    tree.insert(&path("etc"), Node::directory(Metadata::new(0o755))).expect("inserting");
    let mut node = Node::file(Metadata::new(0o644), b"x".to_vec().into());
    change(&mut node);
    tree.insert(&path("etc/odd"), node).expect("inserting");
    let mut out = Cursor::new(Vec::new());
    let error = write(&tree, &options(2), &NoCache, &mut out, &Silent).expect_err("it should be refused");
    assert!(out.get_ref().is_empty(), "something was written before the refusal");
    error.with_causes()
}

#[test]
fn facts_that_do_not_fit() {
    let xattr = |name: &str, length: usize| {
        let name = name.as_bytes().to_vec();
        move |node: &mut Node| drop(node.metadata.xattrs.insert(name, vec![1; length]))
    };
    let device = |major, minor| move |node: &mut Node| node.kind = Kind::BlockDevice { major, minor };
    let symlink = |length| move |node: &mut Node| node.kind = Kind::Symlink(vec![b'x'; length]);
    for (found, expected) in [
        (refused(|node| node.metadata.mtime = -1), "its time -1 is out of range"),
        (refused(|node| node.metadata.mtime = 1 << 32), "its time 4294967296 is out of range"),
        (
            refused(xattr("system.posix_acl_access", 4)),
            "cannot store the POSIX ACL in attribute system.posix_acl_access",
        ),
        (refused(xattr("system.posix_acl_default", 4)), "attribute system.posix_acl_default"),
        (refused(xattr("btrfs.compression", 4)), "btrfs.compression is in no namespace"),
        (refused(xattr("user.", 4)), "user. is in no namespace"),
        (refused(xattr(&format!("user.{}", "n".repeat(251)), 4)), "a name of 256 and a value of 4 bytes"),
        (refused(xattr("user.big", 65537)), "a value of 65537 bytes"),
        (refused(device(4096, 1)), "device 4096:1 is out of range"),
        (refused(device(1, 1 << 20)), "device 1:1048576 is out of range"),
        (refused(symlink(0)), "the symlink's target has 0 bytes"),
        (refused(symlink(4096)), "the symlink's target has 4096 bytes"),
    ] {
        assert!(found.starts_with("packing /etc/odd: "), "no path in {found:?}");
        assert!(found.contains(expected), "no {expected:?} in {found:?}");
    }
}

#[test]
fn more_owners_than_fit() {
    let mut tree = Tree::new(Metadata::new(0o755));
    // With root's 0 there are 65535, the maximum.
    for id in 1..65_535 {
        let metadata = Metadata::new(0o644).with_owner(id, 0);
        tree.insert(&path(&format!("{id}")), Node { metadata, kind: Kind::Fifo }).expect("inserting");
    }
    write(&tree, &options(1), &NoCache, &mut Cursor::new(Vec::new()), &Silent).expect("65535 fit");
    let metadata = Metadata::new(0o644).with_owner(0, 65_535);
    tree.insert(&path("zz"), Node { metadata, kind: Kind::Fifo }).expect("inserting");
    let error = write(&tree, &options(1), &NoCache, &mut Cursor::new(Vec::new()), &Silent).expect_err("65536 do not");
    assert!(matches!(&error, SquashfsError::TooManyIds { path } if path.to_string() == "/zz"), "{error}");
}

#[test]
fn options_out_of_range() {
    let tree = Tree::new(Metadata::new(0o755));
    let fails = |options: Options| {
        write(&tree, &options, &NoCache, &mut Cursor::new(Vec::new()), &Silent)
            .expect_err("it should be refused")
            .to_string()
    };
    for block_size in [0, 4096, 65536, 131_073, 3 << 17, 2 << 20] {
        assert!(fails(Options { block_size, ..options(1) }).contains(&format!("block size {block_size}:")));
    }
    for compression in [
        Compression::Zstd { level: 0 },
        Compression::Zstd { level: 23 },
        Compression::Zstd { level: -1 },
        Compression::Gzip { level: 0 },
        Compression::Gzip { level: 10 },
        Compression::Xz { level: 10 },
    ] {
        assert!(fails(Options { compression, ..options(1) }).contains("level"), "{compression:?}");
    }
}

#[test]
fn host_files_that_changed_size() {
    let folder = folder();
    let host = folder.path().join("content");
    for (length, now) in [(100, 99), (100, 101), (0, 1), (300_000, 299_999), (300_000, 300_001), (262_144, 131_072)] {
        fs::write(&host, vec![7; now]).expect("writing");
        let mut tree = Tree::new(Metadata::new(0o755));
        let node = Node::file(Metadata::new(0o644), Content::host(host.clone(), length));
        tree.insert(&path("log"), node).expect("inserting");
        let error = write(&tree, &options(2), &NoCache, &mut Cursor::new(Vec::new()), &Silent).expect_err("it changed");
        let now = now as u64;
        let right = matches!(
            &error,
            SquashfsError::Resized { path, expected, found }
                if path.to_string() == "/log" && *expected == length && *found == now
        );
        assert!(right, "{length} → {now}: {error}");
    }
    fs::remove_file(&host).expect("removing");
    let mut tree = Tree::new(Metadata::new(0o755));
    tree.insert(&path("log"), Node::file(Metadata::new(0o644), Content::host(host, 5))).expect("inserting");
    let error = write(&tree, &options(2), &NoCache, &mut Cursor::new(Vec::new()), &Silent).expect_err("it is gone");
    assert!(matches!(error, SquashfsError::Read { .. }), "{error}");
}

/// A part of a larger file does not count as a file that grew.
#[test]
fn a_part_of_a_host_file() {
    let folder = folder();
    let host = folder.path().join("content");
    fs::write(&host, b"0123456789").expect("writing");
    let mut tree = Tree::new(Metadata::new(0o755));
    let content = Content::Host { path: std::sync::Arc::new(host), offset: 2, length: 3, fingerprint: None };
    tree.insert(&path("part"), Node::file(Metadata::new(0o644), content)).expect("inserting");
    check(&tree, &options(1));
}

/// A disk that is full after this many bytes.
struct Full {
    left: usize,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Full {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Ok(0)
    }
}

fn large_tree() -> Tree {
    let mut tree = Tree::new(Metadata::new(0o755));
    for number in 0..200_u32 {
        let bytes: Vec<u8> = (0..100_000_u32).map(|place| (place.wrapping_mul(place ^ number) >> 7) as u8).collect();
        let node = Node::file(Metadata::new(0o644), bytes.into());
        tree.insert(&path(&format!("file-{number}")), node).expect("inserting");
    }
    tree
}

#[test]
fn a_full_disk_ends_it_at_any_moment() {
    let tree = large_tree();
    for left in [0, 50, 96, 150_000, 1_000_000, 3_000_000] {
        let error = write(&tree, &options(3), &NoCache, &mut Full { left }, &Silent).expect_err("the disk is full");
        assert!(
            matches!(&error, SquashfsError::Write(error) if error.kind() == io::ErrorKind::StorageFull),
            "after {left} bytes: {error}"
        );
    }
}

#[derive(Default)]
struct Counter {
    total: AtomicU64,
    done: AtomicU64,
}

impl Progress for Counter {
    fn stage(&self, stage: Stage, total: u64, unit: Unit) {
        assert_eq!((stage, unit), (Stage::Pack, Unit::Bytes));
        self.total.store(total, Ordering::SeqCst);
    }

    fn advance(&self, count: u64) {
        self.done.fetch_add(count, Ordering::SeqCst);
    }

    fn item(&self, _: &str) {}

    fn warn(&self, message: &str) {
        panic!("nothing to warn of: {message}");
    }
}

#[test]
fn progress_ends_at_its_total() {
    let mut tree = large_tree();
    let zeros = Node::file(Metadata::new(0o644), vec![0; 1 << 20].into());
    tree.insert(&path("zeros"), zeros.clone()).expect("inserting");
    tree.insert(&path("zeros-too"), zeros).expect("inserting");
    let counter = Counter::default();
    let summary = write(&tree, &options(2), &NoCache, &mut Cursor::new(Vec::new()), &counter).expect("writing");
    assert_eq!(counter.total.load(Ordering::SeqCst), summary.content);
    assert_eq!(counter.done.load(Ordering::SeqCst), summary.content);
    assert_eq!(summary.content, 200 * 100_000 + (2 << 20));
}
