//! Images made with blocks that were kept are, byte for byte, those made without.

use applbuild::cache::{BlockStore, Cache};
use applbuild::format::squashfs::{BlockCache, Compression, NoCache, Options, Summary, work_ahead, write};
use applbuild::progress::Silent;
use applbuild::tree::{Content, Metadata, Node, Tree, TreePath};
use applbuild_test_support::squashfs::{folder, options};
use appliance_contract::causes::WithCauses as _;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

fn text(seed: usize, length: usize) -> Vec<u8> {
    (0..).flat_map(|line| format!("line {} of text {seed}\n", line * seed).into_bytes()).take(length).collect()
}

fn put(tree: &mut Tree, path: &str, bytes: Vec<u8>) {
    let node = Node::file(Metadata::new(0o644), bytes.into());
    tree.insert(&TreePath::parse(path).expect("a path of the test"), node).expect("inserting");
}

/// Some large files, and so many small ones that they fill many fragment blocks.
fn tree() -> Tree {
    let mut tree = Tree::new(Metadata::new(0o755));
    for number in 1..6 {
        put(&mut tree, &format!("large/{number}"), text(number, 150_000 * number));
    }
    for number in 1..1500 {
        put(&mut tree, &format!("small/{}/{number}", number % 7), text(number, 900 + 7 * (number % 300)));
    }
    put(&mut tree, "zeros", vec![0; 400_000]);
    tree
}

#[track_caller]
fn image(tree: &Tree, options: &Options, keeper: &dyn BlockCache) -> (Vec<u8>, Summary) {
    let mut out = Cursor::new(Vec::new());
    let summary = write(tree, options, keeper, &mut out, &Silent).expect("writing");
    (out.into_inner(), summary)
}

/// Packs with the store in `cache`, as a build does.
#[track_caller]
fn build(tree: &Tree, options: &Options, cache: &Path) -> (Vec<u8>, Summary) {
    let store = BlockStore::open(&Cache::new(cache)).expect("opening the store");
    let made = image(tree, options, &store);
    assert!(store.finish().is_none());
    made
}

fn packs(cache: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache.join("blocks")).expect("listing");
    entries.map(|entry| entry.expect("listing").path()).filter(|path| path.extension().is_some()).collect()
}

#[test]
fn warm_is_cold_and_compresses_nothing() {
    let cache = folder();
    for compression in [Compression::Zstd { level: 7 }, Compression::Gzip { level: 6 }, Compression::Xz { level: 1 }] {
        for block_size in [1 << 17, 1 << 19] {
            let options = Options { compression, block_size, ..options(2) };
            let (plain, _) = image(&tree(), &options, &NoCache);
            let (cold, summary) = build(&tree(), &options, cache.path());
            assert_eq!(summary.reused, 0, "{options:?}");
            let (warm, summary) = build(&tree(), &options, cache.path());
            assert!(plain == cold && cold == warm, "{options:?}");
            // All but the zeros, which are in no block: three of them at the small size, none at the large.
            let zeros = 400_000 / u64::from(block_size) * u64::from(block_size);
            assert_eq!(summary.reused, summary.content - zeros, "{options:?}");
        }
    }
}

/// Compresses ahead of a build what `tree` says, and tells the build.
fn build_after(tree: &Tree, guess: &Tree, options: &Options, cache: &Path, stop: bool) -> (Vec<u8>, Summary, usize) {
    let store = BlockStore::open(&Cache::new(cache)).expect("opening the store");
    let made = work_ahead(guess, options, &store, &AtomicBool::new(stop));
    assert!(store.finish().is_none());
    let count = made.len();
    let store = BlockStore::open(&Cache::new(cache)).expect("opening the store").with_new(made);
    let (image, summary) = image(tree, options, &store);
    (image, summary, count)
}

#[test]
fn what_was_compressed_ahead_counts_for_this_image() {
    let cache = folder();
    let options = options(2);
    let (plain, _) = image(&tree(), &options, &NoCache);
    let (ahead, summary, made) = build_after(&tree(), &tree(), &options, cache.path(), false);
    assert!(plain == ahead && made > 10);
    assert_eq!(summary.reused, 0, "earlier builds have made none of it");
    let before = packs(cache.path());
    let (again, summary, made) = build_after(&tree(), &tree(), &options, cache.path(), false);
    assert!(plain == again);
    assert_eq!((made, packs(cache.path())), (0, before), "what is there was compressed again");
    assert!(summary.reused > summary.content / 2);
}

#[test]
fn a_wrong_guess_changes_no_byte() {
    let options = options(2);
    let (plain, _) = image(&tree(), &options, &NoCache);
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, text(3, 450_000)).expect("writing");
    let mut guess = tree();
    let gone = Node::file(Metadata::new(0o644), Content::host(folder.path().join("gone"), 7));
    let here = Node::file(Metadata::new(0o644), Content::host(file.clone(), 450_000));
    guess.insert(&TreePath::parse("large/3").expect("a path"), here).expect("inserting");
    put(&mut guess, "small/1/new", text(1, 70_000));
    guess.remove(&TreePath::parse("small/2").expect("a path")).expect("removing");
    let (made, _, _) = build_after(&tree(), &guess, &options, &folder.path().join("cache"), false);
    assert!(made == plain);
    guess.insert(&TreePath::parse("gone").expect("a path"), gone).expect("inserting");
    let (made, _, count) = build_after(&tree(), &guess, &options, &folder.path().join("unreadable"), false);
    assert!(made == plain && count == 0);
    let (made, _, count) = build_after(&tree(), &tree(), &options, &folder.path().join("stopped"), true);
    assert!(made == plain && count == 0);
}

#[test]
fn a_file_that_grows_leaves_most_blocks_as_they_were() {
    let cache = folder();
    let options = options(2);
    build(&tree(), &options, cache.path());
    let mut changed = tree();
    put(&mut changed, "small/3/1032", text(9999, 30_000));
    put(&mut changed, "small/0/new", text(9998, 5_000));
    let (cold, _) = image(&changed, &options, &NoCache);
    let (warm, summary) = build(&changed, &options, cache.path());
    assert!(cold == warm);
    let made = summary.content - summary.reused - (400_000 / 131_072 * 131_072);
    assert!(made < summary.content / 5, "{made} of {} bytes were compressed", summary.content);
}

#[test]
fn damage_is_made_good() {
    let options = options(2);
    let (expected, _) = image(&tree(), &options, &NoCache);
    for damage in [0, 1, 2] {
        let cache = folder();
        build(&tree(), &options, cache.path());
        for path in packs(cache.path()) {
            let mut bytes = fs::read(&path).expect("reading");
            match damage {
                // In a block, in the index, at the end.
                0 => bytes[100] ^= 1,
                1 => bytes.truncate(bytes.len() / 2),
                _ => bytes.clear(),
            }
            fs::write(&path, bytes).expect("writing");
        }
        for _ in 0..2 {
            let (found, _) = build(&tree(), &options, cache.path());
            assert!(expected == found, "damage {damage}");
        }
        let (_, summary) = build(&tree(), &options, cache.path());
        assert!(summary.reused > summary.content / 2, "damage {damage} was not made good");
    }
}

#[test]
fn two_builds_at_once_and_one_whose_store_goes() {
    let cache = folder();
    let options = options(2);
    let (expected, _) = image(&tree(), &options, &NoCache);
    std::thread::scope(|scope| {
        let builds: Vec<_> = (0..3).map(|_| scope.spawn(|| build(&tree(), &options, cache.path()).0)).collect();
        for build in builds {
            assert!(build.join().expect("no panic") == expected);
        }
    });
    let store = BlockStore::open(&Cache::new(cache.path())).expect("opening");
    fs::remove_dir_all(cache.path().join("blocks")).expect("removing");
    let mut more = tree();
    put(&mut more, "more", text(77, 500_000));
    let (cold, _) = image(&more, &options, &NoCache);
    assert!(image(&more, &options, &store).0 == cold);
    assert!(store.finish().is_some(), "it could not be written");
}

/// What is kept for a content must be of that content: a file that changes
/// between its two readings is refused, and nothing of it stays.
#[test]
fn a_file_that_changes_while_it_is_packed() {
    let (cache, host) = (folder(), folder());
    let path = host.path().join("file");
    fs::write(&path, text(1, 300_000)).expect("writing");
    let known = Content::host(path.clone(), 300_000).fingerprint().expect("reading");
    fs::write(&path, text(2, 300_000)).expect("writing");
    let content = Content::Host { path: path.into(), offset: 0, length: 300_000, fingerprint: Some(known) };
    let mut tree = Tree::new(Metadata::new(0o755));
    tree.insert(&TreePath::parse("x").expect("a path"), Node::file(Metadata::new(0o644), content)).expect("inserting");
    let store = BlockStore::open(&Cache::new(cache.path())).expect("opening");
    let error = write(&tree, &options(2), &store, &mut Cursor::new(Vec::new()), &Silent).expect_err("it changed");
    assert!(error.with_causes().contains("it changed meanwhile"), "{error}");
    assert!(store.finish().is_none());
    assert!(packs(cache.path()).is_empty());
}
