//! The formats of config partitions with trees of any shape, judged by the file systems' own checkers and readers.

use applbuild::fleet::{ConfigFormat, ConfigImage};
use applbuild::format::ext4::{Ext4, Ext4Error, Ext4Options};
use applbuild::format::fat::{Fat, FatOptions};
use applbuild::tree::{Kind, Metadata, Node, NodeId, Tree, TreePath};
use applbuild_test_support::judges::judge;
use appliance_contract::causes::WithCauses as _;
use appliance_contract::local_etc::{MAX_BYTES, MAX_DEPTH, MAX_ENTRIES};
use fatfs::{Dir, FileSystem, FsOptions};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

const TIME: i64 = 1_700_000_000;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    File(Vec<u8>),
    Folder,
    Link(Vec<u8>),
}

/// What a tree holds below its root, by path.
type Listing = BTreeMap<String, Item>;

fn listing(tree: &Tree) -> Listing {
    let entries = tree.walk().filter(|(path, _)| !path.is_root()).map(|(path, id)| {
        let item = match &tree.node(id).kind {
            Kind::File(content) => Item::File(content.read().unwrap()),
            Kind::Symlink(target) => Item::Link(target.clone()),
            _ => Item::Folder,
        };
        (String::from_utf8(path.to_bytes()).unwrap(), item)
    });
    entries.collect()
}

#[track_caller]
fn assert_same(found: &Listing, tree: &Tree) {
    let expected = listing(tree);
    if *found != expected {
        let differ = |path: &&String| found.get(*path) != expected.get(*path);
        let paths: BTreeSet<&String> = found.keys().chain(expected.keys()).filter(differ).collect();
        panic!("{} of {} entries differ, the first is {:?}", paths.len(), expected.len(), paths.first());
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = judge(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

fn ext4_options(size: Option<u64>) -> Ext4Options {
    Ext4Options { uuid: *b"sixteen octets! ", label: "CONFIG".into(), size, time: TIME }
}

#[track_caller]
fn judged_ext4(tree: &Tree, size: Option<u64>) -> u64 {
    let options = ext4_options(size);
    let planned = Ext4::plan(tree, &options).unwrap();
    let bytes = planned.write().unwrap();
    assert_eq!(bytes.len() as u64, planned.size());
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("ext4.img");
    std::fs::write(&image, bytes).unwrap();
    let image = image.to_str().unwrap();
    said("e2fsck", &["-fn", image]);
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    // An ordinary user cannot give away what is written; debugfs goes on.
    said("debugfs", &["-R", &format!("rdump / {}", out.display()), image]);
    let mut found = Tree::from_folder(&out).unwrap();
    found.remove(&TreePath::parse("/lost+found").unwrap()).unwrap();
    assert_same(&listing(&found), tree);
    planned.size()
}

fn fat_listing(dir: &Dir<'_, Cursor<Vec<u8>>>, at: &str, out: &mut Listing) {
    for entry in dir.iter() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let path = format!("{at}/{name}");
        if entry.is_dir() && ![".", ".."].contains(&name.as_str()) {
            fat_listing(&entry.to_dir(), &path, out);
            out.insert(path, Item::Folder);
        } else if entry.is_file() {
            let mut bytes = Vec::new();
            entry.to_file().read_to_end(&mut bytes).unwrap();
            out.insert(path, Item::File(bytes));
        }
    }
}

#[track_caller]
fn judged_fat(tree: &Tree) -> u64 {
    let planned = Fat::plan(tree).unwrap();
    let size = planned.size(16 << 20, 2);
    let options = FatOptions { size: size.try_into().unwrap(), label: "CONFIG".into(), volume_id: 7 };
    let bytes = planned.write(&options).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let text = said("fsck.fat", &["-n", file.path().to_str().unwrap()]);
    // The first line is its version, the last the counts; between them are faults that it mends without being asked.
    assert_eq!(text.lines().count(), 2, "{text}");
    let fs = FileSystem::new(Cursor::new(bytes), FsOptions::new()).unwrap();
    let mut found = Listing::new();
    fat_listing(&fs.root_dir(), "", &mut found);
    assert_same(&found, tree);
    size
}

fn empty() -> Tree {
    Tree::new(Metadata::new(0o755).with_mtime(TIME))
}

fn put(tree: &mut Tree, path: &str, node: Node) -> NodeId {
    tree.insert(&TreePath::parse(path).unwrap(), node).unwrap()
}

fn file(bytes: &[u8]) -> Node {
    Node::file(Metadata::new(0o644).with_mtime(TIME), bytes.to_vec().into())
}

/// As many entries as an agent takes, of the kind that `node` makes.
fn full_etc(node: impl Fn(&mut Tree, usize) -> NodeId) -> Tree {
    let mut tree = empty();
    put(&mut tree, "/appliance.toml", file(b"schema = 1\n"));
    (0..MAX_ENTRIES).for_each(|number| {
        node(&mut tree, number);
    });
    tree
}

#[test]
fn an_empty_file_is_an_empty_file() {
    let mut tree = empty();
    put(&mut tree, "/local/etc/cron.deny", file(b""));
    judged_ext4(&tree, None);
    judged_fat(&tree);
}

#[test]
fn one_folder_holds_as_many_entries_as_an_agent_takes() {
    let files = full_etc(|tree, number| put(tree, &format!("/local/etc/{number}.conf"), file(b"")));
    judged_ext4(&files, None);
    let long = full_etc(|tree, number| put(tree, &format!("/local/etc/{number:0>255}"), file(b"text")));
    judged_ext4(&long, None);
}

/// fatfs searches a directory for each new entry, so that many in one take long. As many as an agent takes lie in the
/// fleet's config below.
#[test]
fn fat_holds_directories_of_several_clusters() {
    let mut one = empty();
    for number in 0..300 {
        put(&mut one, &format!("/local/etc/{number:0>200}"), file(b"text"));
    }
    judged_fat(&one);
}

#[test]
fn folders_and_long_links_and_hard_links_take_what_they_take() {
    let folders =
        full_etc(|tree, number| put(tree, &format!("/local/etc/{number}"), Node::directory(Metadata::new(0o755))));
    judged_ext4(&folders, None);
    // Targets of 59 letters are in the inode, longer ones in a block of their own.
    let links = full_etc(|tree, number| {
        let target = "x".repeat([59, 60, 4095][number % 3]);
        put(tree, &format!("/local/etc/{number}"), Node::symlink(target, TIME))
    });
    judged_ext4(&links, None);
    let mut linked = empty();
    let first = put(&mut linked, "/local/etc/first", file(b"one"));
    (1..MAX_ENTRIES)
        .for_each(|number| linked.link(&TreePath::parse(format!("/local/etc/{number}")).unwrap(), first).unwrap());
    judged_ext4(&linked, None);
}

#[test]
fn as_many_bytes_as_an_agent_takes_fit_in_one_file_and_in_many() {
    let mut one = empty();
    put(&mut one, "/local/etc/one", file(&vec![7; MAX_BYTES as usize]));
    judged_ext4(&one, None);
    judged_fat(&one);
    let share = vec![7; MAX_BYTES as usize / MAX_ENTRIES];
    let many = full_etc(|tree, number| put(tree, &format!("/local/etc/{}/{number}", number % 199), file(&share)));
    judged_ext4(&many, None);
}

#[test]
fn attributes_and_deep_folders_are_counted() {
    let mut tree = empty();
    let deep = "d/".repeat(MAX_DEPTH);
    put(&mut tree, &format!("/local/etc/{deep}file"), file(b"deep"));
    for number in 0..3000 {
        let mut node = file(b"");
        // More than an inode has room for, so that each takes a block.
        node.metadata.xattrs.insert(b"user.note".to_vec(), vec![number as u8; 300]);
        put(&mut tree, &format!("/local/etc/{number}"), node);
    }
    judged_ext4(&tree, None);
}

#[test]
fn a_size_that_is_too_small_is_told_with_the_least_one() {
    let many = full_etc(|tree, number| put(tree, &format!("/local/etc/{number}"), file(b"text")));
    let mut large = empty();
    put(&mut large, "/large", file(&vec![1; 150 << 20]));
    for tree in [&many, &large, &empty()] {
        let small = ext4_options(Some(1 << 20));
        let error = Ext4::plan(tree, &small).unwrap_err();
        let Ext4Error::TooSmall { size: 0x10_0000, least } = error else { panic!("{error}") };
        assert!(error.with_causes().contains(&format!("expected {least} bytes at least")), "{error}");
        assert_eq!(judged_ext4(tree, Some(least)), least);
        assert!(matches!(Ext4::plan(tree, &ext4_options(Some(least - 1))), Err(Ext4Error::TooSmall { .. })));
        // What is a little larger than some block groups has no stub of one behind them.
        assert_eq!(judged_ext4(tree, Some((512 << 20) + 4096)), 512 << 20);
    }
}

#[test]
fn the_name_that_ext4_keeps_for_itself_is_refused() {
    let mut tree = empty();
    put(&mut tree, "/lost+found/file", file(b""));
    let error = Ext4::plan(&tree, &ext4_options(None)).unwrap_err().with_causes();
    assert_eq!(error, "/lost+found is a name that ext4 keeps for itself; give it another");
    let mut below = empty();
    put(&mut below, "/etc/lost+found/file", file(b""));
    judged_ext4(&below, None);
}

/// From a fleet's folder to a disk, in each format.
#[test]
fn a_fleets_node_may_have_as_much_as_its_agent_takes() {
    let fleet = tempfile::tempdir().unwrap();
    applbuild::fleet::init(fleet.path()).unwrap();
    let node = fleet.path().join("pservers/node1");
    std::fs::remove_dir_all(node.join("etc")).unwrap();
    std::fs::create_dir(node.join("etc")).unwrap();
    let _ = std::fs::remove_file(node.join("modes"));
    for number in 0..MAX_ENTRIES {
        if number < 200 {
            std::fs::create_dir(node.join(format!("etc/{number}"))).unwrap();
        } else {
            File::create(node.join(format!("etc/{}/{number}", number % 200))).unwrap();
        }
    }
    for format in [ConfigFormat::Ext4, ConfigFormat::Vfat, ConfigFormat::Iso] {
        let image = fleet.path().join("config.img");
        let config = ConfigImage { node: "node1".into(), format, partition: 1, time: TIME };
        assert!(config.write(fleet.path(), &image).unwrap().warnings.is_empty(), "{format:?}");
        if format == ConfigFormat::Iso {
            let listed = said("xorriso", &["-indev", image.to_str().unwrap(), "-find", "/local/etc", "-mindepth", "1"]);
            assert_eq!(listed.lines().filter(|line| line.starts_with("'/local/etc/")).count(), MAX_ENTRIES);
        }
    }
}

/// The kernel's own reader, where this process may ask for it.
#[test]
fn the_kernel_mounts_what_is_written() {
    if !nix::unistd::geteuid().is_root() || !Path::new("/dev/loop-control").exists() {
        println!("NOT RUN: mounting a loop device needs root and /dev/loop-control");
        return;
    }
    let mut tree = full_etc(|tree, number| put(tree, &format!("/local/etc/{number}-ü.conf"), file(b"")));
    put(&mut tree, "/local/link", Node::symlink("x".repeat(60), TIME));
    let options = ext4_options(None);
    let folder = tempfile::tempdir().unwrap();
    let (image, mounted) = (folder.path().join("ext4.img"), folder.path().join("mounted"));
    std::fs::write(&image, Ext4::plan(&tree, &options).unwrap().write().unwrap()).unwrap();
    std::fs::create_dir(&mounted).unwrap();
    let (image, mounted) = (image.to_str().unwrap(), mounted.to_str().unwrap());
    said("mount", &["-o", "loop,ro", image, mounted]);
    let found = Tree::from_folder(Path::new(mounted));
    let found = found.and_then(|mut found| {
        found.remove(&TreePath::parse("/lost+found")?)?;
        Ok(listing(&found))
    });
    said("umount", &[mounted]);
    assert_same(&found.unwrap(), &tree);
}

#[derive(Debug, Clone)]
enum Growth {
    File(usize),
    Folder,
    Link(usize),
    /// Another name of an earlier file.
    HardLink(usize),
    /// So many files in a folder of their own, with names of a length.
    Many(usize, usize),
}

/// `most`: files in a directory.
fn growth(most: usize) -> impl Strategy<Value = Growth> {
    prop_oneof![
        3 => Just(Growth::File(0)),
        4 => (0..20_000_usize).prop_map(Growth::File),
        2 => Just(Growth::Folder),
        2 => prop_oneof![Just(59), Just(60), 1..4095_usize].prop_map(Growth::Link),
        1 => any::<usize>().prop_map(Growth::HardLink),
        1 => (0..most, 6..240_usize).prop_map(|(count, length)| Growth::Many(count, length)),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,8}",
        2 => "[a-zA-Z0-9._ äöü€😀-]{0,20}[a-z]",
        1 => (1..=255_usize).prop_map(|length| "n".repeat(length)),
        1 => (1..=63_usize).prop_map(|length| "😀".repeat(length)),
    ]
}

/// Each part is put below an earlier folder; a name that is taken is passed over.
fn tree(most: usize) -> impl Strategy<Value = Tree> {
    vec((any::<usize>(), name(), growth(most)), 0..60).prop_map(|parts| {
        let mut tree = empty();
        let (mut folders, mut files) = (vec![String::new()], Vec::new());
        let mut taken = BTreeSet::new();
        for (below, name, growth) in parts {
            let path = format!("{}/{name}", folders[below % folders.len()]);
            if !taken.insert(path.to_lowercase()) || path == "/lost+found" {
                continue;
            }
            match growth {
                Growth::File(length) => files.push(put(&mut tree, &path, file(&vec![length as u8; length]))),
                Growth::Folder => {
                    put(&mut tree, &path, Node::directory(Metadata::new(0o755)));
                    folders.push(path);
                }
                Growth::Link(length) => {
                    put(&mut tree, &path, Node::symlink("x".repeat(length), TIME));
                }
                Growth::HardLink(which) => match files.get(which % files.len().max(1)) {
                    Some(&first) => tree.link(&TreePath::parse(&path).unwrap(), first).unwrap(),
                    None => continue,
                },
                Growth::Many(count, length) => (0..count).for_each(|number| {
                    put(&mut tree, &format!("{path}/{number:0>length$}"), file(b""));
                }),
            }
        }
        tree
    })
}

/// What FAT holds of it.
fn without_links(tree: &Tree) -> Tree {
    let mut plain = empty();
    for (path, id) in tree.walk().filter(|(path, _)| !path.is_root()) {
        let node = tree.node(id);
        match &node.kind {
            Kind::Symlink(_) => {}
            // fatfs has characters of the basic plane alone.
            _ if path.to_string().contains('😀') => {}
            Kind::Directory(_) => {
                plain.insert(&path, Node::directory(node.metadata.clone())).unwrap();
            }
            _ => {
                plain.insert(&path, node.clone()).unwrap();
            }
        }
    }
    plain
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_is_held_whole_by_ext4(tree in tree(600)) {
        judged_ext4(&tree, None);
    }

    #[test]
    fn any_tree_is_held_whole_in_the_least_ext4_there_is(tree in tree(600)) {
        let Err(Ext4Error::TooSmall { least, .. }) = Ext4::plan(&tree, &ext4_options(Some(0))) else { panic!("it fits") };
        judged_ext4(&tree, Some(least));
    }

    #[test]
    fn any_tree_without_links_is_held_whole_by_fat(tree in tree(150)) {
        judged_fat(&without_links(&tree));
    }
}
