//! What lies at the edges: sizes around a block, a metadata block, a header.

use applbuild::format::squashfs::{Compression, Options};
use applbuild::tree::{Content, Kind, Metadata, Node, Tree, TreePath};
use applbuild_test_support::squashfs::{BLOCK, check, folder, is_root, options, unsquashfs, write};

const TIME: i64 = 1_600_000_000;

fn root() -> Tree {
    Tree::new(Metadata::new(0o755).with_mtime(TIME))
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text).expect("a path of the test")
}

fn put(tree: &mut Tree, at: &str, content: impl Into<Content>) -> applbuild::tree::NodeId {
    tree.insert(&path(at), Node::file(Metadata::new(0o644).with_mtime(TIME), content.into())).expect("inserting")
}

/// Bytes that do not compress, different for each seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn text(seed: usize, length: usize) -> Vec<u8> {
    (0..).flat_map(|line| format!("line {line} of text {seed}\n").into_bytes()).take(length).collect()
}

#[test]
fn an_empty_root() {
    check(&root(), &options(2));
}

#[test]
fn sizes_around_a_block() {
    let block = BLOCK as usize;
    let mut tree = root();
    for (number, length) in
        [0, 1, 4096, block - 1, block, block + 1, 2 * block - 1, 2 * block, 2 * block + 1, 9 * block + 5]
            .into_iter()
            .enumerate()
    {
        put(&mut tree, &format!("noise-{length}"), noise(number as u64 + 1, length));
        put(&mut tree, &format!("text-{length}"), text(number, length));
        put(&mut tree, &format!("zero-{length}"), vec![0; length]);
    }
    let mut holes = vec![0; 6 * block + 77];
    holes[2 * block] = 1;
    put(&mut tree, "holes", holes.clone());
    holes[0] = 1;
    put(&mut tree, "holes-later", holes);
    for threads in [1, 3] {
        check(&tree, &options(threads));
    }
}

#[test]
fn all_compressors_and_block_sizes() {
    let mut tree = root();
    for number in 0..12 {
        put(&mut tree, &format!("a/text-{number}"), text(number, 30_000 * number));
        put(&mut tree, &format!("b/noise-{number}"), noise(number as u64, 5_000 * number));
    }
    for (compression, block_size) in [
        (Compression::Zstd { level: 1 }, 1 << 20),
        (Compression::Zstd { level: 15 }, 1 << 18),
        (Compression::Zstd { level: 22 }, BLOCK),
        (Compression::Gzip { level: 9 }, BLOCK),
        (Compression::Gzip { level: 1 }, 1 << 20),
        (Compression::Xz { level: 0 }, 1 << 20),
        (Compression::Xz { level: 6 }, BLOCK),
    ] {
        check(&tree, &Options { compression, block_size, ..options(2) });
    }
}

#[test]
fn the_compressor_level_and_time_are_in_the_superblock() {
    let folder = folder();
    let image = folder.path().join("image");
    let compression = Compression::Zstd { level: 19 };
    write(&root(), &Options { compression, time: 86_400, ..options(1) }, &image);
    let shown = String::from_utf8(unsquashfs(&["-UTC", "-s"], &[&image])).expect("unsquashfs prints ASCII");
    for line in [
        "Creation or last append time Fri Jan  2 00:00:00 1970",
        "Compression zstd",
        "compression-level 19",
        "Block size 131072",
        "Filesystem is exportable via NFS",
        "Number of inodes 1",
    ] {
        assert!(shown.contains(line), "no {line:?} in\n{shown}");
    }
}

#[test]
fn every_kind_of_node() {
    let mut tree = root();
    let owned = |mode| Metadata::new(mode).with_mtime(TIME + 59).with_owner(1000, 100_000);
    let nodes = [
        ("fifo", Kind::Fifo),
        ("socket", Kind::Socket),
        ("null", Kind::CharacterDevice { major: 1, minor: 3 }),
        // unsquashfs knows 8 bits of each number; the inode's unit tests have more.
        ("tty", Kind::CharacterDevice { major: 4, minor: 255 }),
        ("disk", Kind::BlockDevice { major: 254, minor: 17 }),
        ("link", Kind::Symlink(b"../far/away \xff".to_vec())),
        ("long-link", Kind::Symlink(vec![b'x'; 4095])),
    ];
    for (name, kind) in nodes {
        let mode = if let Kind::Symlink(_) = kind { 0o777 } else { 0o640 };
        tree.insert(&path(name), Node { metadata: owned(mode), kind }).expect("inserting");
    }
    for mode in [0o4755, 0o2755, 0o1644, 0o6711, 0o600] {
        tree.insert(&path(&format!("mode-{mode:o}")), Node::file(owned(mode), b"x".to_vec().into()))
            .expect("inserting");
    }
    if is_root() {
        tree.insert(&path("mode-0"), Node::file(owned(0), b"x".to_vec().into())).expect("inserting");
    }
    for time in [0, 1, i64::from(u32::MAX)] {
        put(&mut tree, &format!("time-{time}"), b"x".to_vec());
        let id = tree.lookup(&path(&format!("time-{time}"))).expect("it was put");
        tree.node_mut(id).metadata.mtime = time;
    }
    check(&tree, &options(2));
}

#[test]
fn hard_links_and_duplicates() {
    let mut tree = root();
    let big = noise(7, 3 * BLOCK as usize + 100);
    let first = put(&mut tree, "a/first", big.clone());
    tree.link(&path("b/second"), first).expect("linking");
    tree.link(&path("z"), first).expect("linking");
    put(&mut tree, "copy", big.clone());
    put(&mut tree, "small-1", b"same".to_vec());
    put(&mut tree, "small-2", b"same".to_vec());
    put(&mut tree, "small-3", b"diff".to_vec());
    // Of the same size and first block, and different after it.
    let mut other = big.clone();
    *other.last_mut().expect("it is not empty") ^= 1;
    put(&mut tree, "other", other.clone());
    put(&mut tree, "other-copy", other);
    let fifo =
        tree.insert(&path("fifo"), Node { metadata: Metadata::new(0o600), kind: Kind::Fifo }).expect("inserting");
    tree.link(&path("pipe"), fifo).expect("linking");
    check(&tree, &options(2));
    let folder = folder();
    let summary = write(&tree, &options(2), &folder.path().join("image"));
    assert_eq!(summary.duplicates, 3);
    assert!(summary.size < 7 * u64::from(BLOCK), "stored more than once: {summary:?}");
}

#[test]
fn extended_attributes() {
    let mut tree = root();
    // cap_net_bind_service=ep, as VFS_CAP_REVISION_2 has it.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for number in 0..300 {
        let id = put(&mut tree, &format!("d/file-{number:03}"), text(number, number));
        let xattrs = &mut tree.node_mut(id).metadata.xattrs;
        xattrs.insert(b"user.number".to_vec(), vec![number as u8 % 7; number % 50]);
        if number % 3 == 0 {
            xattrs.insert(b"security.capability".to_vec(), capability.to_vec());
        }
        if number % 50 == 0 {
            xattrs.insert(b"trusted.note".to_vec(), noise(number as u64, 300));
            xattrs.insert(format!("user.{}", "n".repeat(200)).into_bytes(), Vec::new());
        }
    }
    let directory = tree.lookup(&path("d")).expect("it was made");
    tree.node_mut(directory).metadata.xattrs.insert(b"user.of-a-directory".to_vec(), b"yes".to_vec());
    check(&tree, &options(2));
}

#[test]
fn large_directories() {
    let mut tree = root();
    // Names of every length, so that headers and index entries fall everywhere.
    for number in 0..3_000 {
        let name = format!("big/{number:05}{}", "n".repeat(number % 251));
        put(&mut tree, &name, if number % 10 == 0 { text(number, 20) } else { Vec::new() });
    }
    for number in 0..257 {
        put(&mut tree, &format!("just-over/{number}"), Vec::new());
        tree.insert(&path(&format!("folders/{number}")), Node::directory(Metadata::new(0o755))).expect("inserting");
    }
    check(&tree, &options(2));
}

#[test]
fn deep_paths() {
    let mut tree = root();
    put(&mut tree, &vec!["d"; 400].join("/"), b"deep".to_vec());
    check(&tree, &options(1));
}

/// Inodes and listings that lie across the ends of metadata blocks, at all distances.
#[test]
fn metadata_block_bounds() {
    let mut tree = root();
    for number in 0..600 {
        put(&mut tree, &format!("d{}/{number}", number % 7), text(number, number));
        let target = vec![b'a' + (number % 26) as u8; 1 + number * 13 % 4000];
        tree.insert(&path(&format!("d{}/link-{number}", number % 11)), Node::symlink(target, TIME)).expect("inserting");
    }
    check(&tree, &options(2));
}
