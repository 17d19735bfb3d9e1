//! Trees that nobody thought of.

use applbuild::format::squashfs::{Compression, Options};
use applbuild::tree::{Kind, Metadata, Node, NodeId, Tree, TreePath};
use applbuild_test_support::squashfs::{BLOCK, compare, folder, is_root, options, write};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use std::fs;

/// What is put at a path.
#[derive(Debug, Clone)]
enum Item {
    File(Filling),
    /// The content of an earlier file, in another inode.
    Copy(usize),
    /// Another name of an earlier node.
    Link(usize),
    Symlink(Vec<u8>),
    Device(u8, u8),
    Fifo,
    Directory,
}

#[derive(Debug, Clone)]
struct Filling {
    seed: u8,
    length: usize,
    kind: u8,
}

impl Filling {
    fn bytes(&self) -> Vec<u8> {
        let mut state = u32::from(self.seed) + 1;
        let kind = self.kind % 4;
        let next = |place: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match kind {
                0 => 0,
                1 => (state >> 24) as u8,
                2 => b'a' + (state >> 28) as u8,
                // Blocks of zeros between others.
                _ if (place / BLOCK as usize).is_multiple_of(2) => 0,
                _ => (state >> 27) as u8,
            }
        };
        (0..self.length).map(next).collect()
    }
}

fn filling() -> impl Strategy<Value = Filling> {
    let block = BLOCK as usize;
    let near = (0..4_usize, 0..5_usize).prop_map(move |(blocks, more)| (blocks * block + more).saturating_sub(2));
    let length = prop_oneof![4 => 0..300_usize, 2 => 300..20_000_usize, 1 => near];
    (any::<u8>(), length, any::<u8>()).prop_map(|(seed, length, kind)| Filling { seed, length, kind })
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let odd = vec(prop_oneof![Just(b' '), Just(b'"'), Just(b'\\'), Just(b'\t'), 0x80..=0xff_u8, b'a'..=b'z'], 1..20);
    let long = (b'a'..=b'z', 200..=255_usize).prop_map(|(letter, length)| vec![letter; length]);
    prop_oneof![6 => "[a-e]{1,2}".prop_map(String::into_bytes), 3 => odd, 1 => long]
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        8 => filling().prop_map(Item::File),
        2 => any::<usize>().prop_map(Item::Copy),
        2 => any::<usize>().prop_map(Item::Link),
        1 => vec(1..=255_u8, 1..300).prop_filter("unsquashfs prints lines", |target| !target.contains(&b'\n')).prop_map(Item::Symlink),
        1 => any::<(u8, u8)>().prop_map(|(major, minor)| Item::Device(major, minor)),
        1 => Just(Item::Fifo),
        2 => Just(Item::Directory),
    ]
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let ids = prop_oneof![Just(0), 0..5_u32, any::<u32>().prop_filter("-1 is no id", |&id| id != u32::MAX)];
    let xattrs =
        btree_map("[a-z]{1,9}".prop_map(|name| format!("user.{name}").into_bytes()), vec(any::<u8>(), 0..40), 0..3);
    (0..0o10000_u16, ids.clone(), ids, any::<u32>(), xattrs).prop_map(|(mode, uid, gid, mtime, xattrs)| Metadata {
        // An ordinary user must be able to read what unsquashfs wrote.
        mode: mode | 0o700,
        uid,
        gid,
        mtime: mtime.into(),
        xattrs,
    })
}

type Items = Vec<(Vec<Vec<u8>>, Item, Metadata)>;

fn items() -> impl Strategy<Value = Items> {
    vec((vec(name(), 1..6), item(), metadata()), 0..120)
}

fn build(items: Vec<(Vec<Vec<u8>>, Item, Metadata)>) -> Tree {
    let mut tree = Tree::new(Metadata::new(0o755).with_mtime(5));
    let mut made: Vec<NodeId> = Vec::new();
    for (names, item, mut metadata) in items {
        let path = TreePath::parse(names.join(&b'/')).expect("the names hold no slash or NUL");
        if tree.lookup(&path).is_some() {
            continue;
        }
        let earlier = |number: usize| (!made.is_empty()).then(|| made[number % made.len()]);
        let kind = match item {
            Item::File(filling) => Kind::File(filling.bytes().into()),
            Item::Copy(number) => match earlier(number).map(|id| tree.node(id).kind.clone()) {
                Some(Kind::File(content)) => Kind::File(content),
                _ => continue,
            },
            Item::Link(number) => {
                // A parent may be a file; then there is no link.
                if let Some(id) = earlier(number) {
                    let _ = tree.link(&path, id);
                }
                continue;
            }
            Item::Symlink(target) => Kind::Symlink(target),
            Item::Device(major, minor) => Kind::CharacterDevice { major: major.into(), minor: minor.into() },
            Item::Fifo => Kind::Fifo,
            Item::Directory => Kind::Directory(Default::default()),
        };
        // As an ordinary user unsquashfs makes no device, and stumbles over links to one.
        let linkable = match kind {
            Kind::Directory(_) => false,
            Kind::CharacterDevice { .. } => is_root(),
            _ => true,
        };
        if !matches!(kind, Kind::Directory(_) | Kind::File(_)) {
            // Linux has user attributes on no other kind, and no mode on symlinks.
            metadata.xattrs.clear();
        }
        if let Kind::Symlink(_) = kind {
            metadata.mode = 0o777;
        }
        if let Ok(id) = tree.insert(&path, Node { metadata, kind })
            && linkable
        {
            made.push(id);
        }
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn come_back_as_they_went_in(items in items(), level in 1..10_i32) {
        let tree = build(items);
        let folder = folder();
        let image = folder.path().join("one");
        let options = Options { compression: Compression::Zstd { level }, ..options(1) };
        write(&tree, &options, &image);
        compare(&tree, &image);
        for threads in [2, 7] {
            let other = folder.path().join("other");
            write(&tree, &Options { threads: threads.try_into().expect("not 0"), ..options }, &other);
            prop_assert!(fs::read(&image).expect("reading") == fs::read(&other).expect("reading"), "{threads} threads");
        }
    }
}

/// Many blocks in flight, with and without the probe, from the host's files.
#[test]
fn threads_do_not_show() {
    let source = folder();
    for number in 0..30_u8 {
        let filling = Filling { seed: number, length: 40_000 * usize::from(number), kind: 1 + number % 2 };
        fs::write(source.path().join(format!("file-{number}")), filling.bytes()).expect("writing");
    }
    let tree = Tree::from_folder(source.path()).expect("reading it");
    let folder = folder();
    for compression in [Compression::Zstd { level: 9 }, Compression::Gzip { level: 3 }, Compression::Xz { level: 0 }] {
        let images: Vec<Vec<u8>> = [1, 2, 7]
            .into_iter()
            .map(|threads| {
                let image = folder.path().join("image");
                write(&tree, &Options { compression, ..options(threads) }, &image);
                fs::read(&image).expect("reading")
            })
            .collect();
        assert!(images.iter().all(|image| *image == images[0]), "{compression:?}");
    }
    let image = folder.path().join("image");
    write(&tree, &options(2), &image);
    let content: usize = tree
        .walk()
        .map(|(_, id)| match &tree.node(id).kind {
            Kind::File(content) => content.read().map_or(0, |bytes| bytes.len()),
            _ => 0,
        })
        .sum();
    assert!(content > 16 << 20, "too little to fill the queue: {content}");
    compare(&tree, &image);
}
