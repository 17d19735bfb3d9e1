//! Roots, tools and packages that are reused from the cache.

use crate::world::{listing, node, varied, with_base, world};
use applbuild::cache::{Cache, Unpacked};
use applbuild::packages::Ids;
use applbuild::progress::Silent;
use applbuild::rootfs::{Files, Request, WorkDir, are_cached, configure, prefetch_tools, tools};
use applbuild::tree::{Fingerprint, Kind};
use applbuild_test_support::debs::{Deb, lock, which};
use applbuild_test_support::namespace::{Test, tests};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub const TESTS: &[Test] = tests![
    a_kept_root_is_as_good_as_a_new_one,
    a_kept_root_that_was_touched_is_made_again,
    packages_are_fetched_where_something_is_made_of_them,
    what_a_script_changes_in_place_is_known_for_what_it_is,
    tools_are_unpacked_and_not_configured,
    packages_are_decompressed_once,
];

fn a_kept_root_is_as_good_as_a_new_one() {
    let overlay = "# mine\n[x]\n";
    let world = world("", &[("etc/late.conf", overlay), ("etc/new", "new")]);
    let debs = with_base(varied());
    let plain = listing(&world.assemble(&debs).unwrap().tree);
    let cold = listing(&world.assemble_cached(&debs).tree);
    let kept = world.cached_roots();
    assert_eq!(kept.len(), 1, "nothing was cached: does this kernel support overlayfs in a user namespace?");
    let time = |path: &Path| fs::metadata(path.join("record")).unwrap().modified().unwrap();
    let made = time(&kept[0]);
    let warm = listing(&world.assemble_cached(&debs).tree);
    assert_eq!((world.cached_roots(), time(&kept[0])), (kept.clone(), made));
    assert!(plain == cold && cold == warm);
    assert!(!kept[0].join("root/etc/new").exists(), "a build's overlay got into the cached root");
    assert!(world.work_is_empty());
    // Another set of packages needs another root.
    world.assemble_cached(&with_base([]));
    assert_eq!(world.cached_roots().len(), 2);
}

fn a_kept_root_that_was_touched_is_made_again() {
    let world = world("", &[]);
    let debs = with_base(varied());
    let expected = listing(&world.assemble_cached(&debs).tree);
    let root = world.cached_roots().remove(0).join("root");
    let damages: [&dyn Fn(); 5] = [
        &|| fs::write(root.join("usr/share/watched/x"), "y").unwrap(),
        &|| fs::remove_file(root.join("usr/share/watched/x")).unwrap(),
        &|| fs::write(root.join("usr/more"), "").unwrap(),
        &|| fs::set_permissions(root.join("usr"), Permissions::from_mode(0o700)).unwrap(),
        &|| fs::write(root.join("../record"), "").unwrap(),
    ];
    for (number, damage) in damages.iter().enumerate() {
        damage();
        let made = listing(&world.assemble_cached(&debs).tree);
        assert!(made == expected, "damage {number} got into an image");
    }
    assert_eq!(world.cached_roots().len(), 1);
}

fn packages_are_fetched_where_something_is_made_of_them() {
    let world = world("", &[]);
    let debs = with_base(varied());
    let (lock, _) = lock(&debs, &world.path().join("debs"));
    let (trees, epoch) = (world.path().join("trees"), lock.date);
    // How often a root's packages were fetched.
    let fetched = || {
        let folder = world.path().join("debs");
        let paths: BTreeMap<_, _> = lock
            .packages
            .iter()
            .map(|package| (package.sha256, folder.join(format!("{}.deb", package.name))))
            .collect();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let files = Files::lazy(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(paths.clone())
        });
        let work = WorkDir::new(&world.path().join("work")).unwrap().with_root_cache(trees.clone());
        let (profile, others) = (&world.profile, Ids::default());
        let request = Request { profile, lock: &lock, files: &files, others: &others, hooks: &() };
        configure(&request, work, &Silent).unwrap();
        asked.load(Ordering::Relaxed)
    };
    let kept = |with_tools| are_cached(&trees, &lock, epoch, with_tools).unwrap();
    assert!(!kept(false));
    assert_eq!(fetched(), 1);
    assert!(kept(false) && !kept(true), "no tools were unpacked");
    assert_eq!(fetched(), 0);
    fs::write(world.cached_roots().remove(0).join("root/usr/more"), "").unwrap();
    assert_eq!(fetched(), 1);
    assert_eq!(fetched(), 0);
}

fn what_a_script_changes_in_place_is_known_for_what_it_is() {
    // Same length and mtime as before: only the inode differs.
    let script = "printf new > /usr/share/edited/x && touch -r /usr/share/edited/z /usr/share/edited/x";
    let edited = Deb::new("edited")
        .program("usr/bin/touch", fs::read(which("touch")).unwrap(), 0o755)
        .folder("usr/share/edited")
        .file("usr/share/edited/x", "old")
        .file("usr/share/edited/z", "old");
    let world = world("", &[]);
    let tree = world.assemble_cached(&with_base([edited.script("postinst", script)])).tree;
    for (path, content) in [("/usr/share/edited/x", "new"), ("/usr/share/edited/z", "old")] {
        let Some(Kind::File(found)) = node(&tree, path).map(|node| &node.kind) else { panic!("{path} is no file") };
        assert_eq!(*found.fingerprint().unwrap(), Fingerprint::of(content.as_bytes()).unwrap(), "{path}");
    }
}

fn tools_are_unpacked_and_not_configured() {
    let world = world("", &[]);
    let tool = Deb::new("tool").folder("usr").folder("usr/bin").file("usr/bin/tool", "x").script("postinst", "exit 1");
    let (lock, files) = lock(&[tool], &world.path().join("debs"));
    let work = WorkDir::new(&world.path().join("work")).unwrap();
    let root = tools(&lock.packages, &files, &work, &Silent).unwrap();
    assert_eq!(fs::read(root.join("usr/bin/tool")).unwrap(), b"x");
    assert!(root.starts_with(work.path()));
    // Where trees are cached, it is one of them: made once, and made again after damage.
    let trees = world.path().join("trees");
    prefetch_tools(&lock.packages, &files, &trees).unwrap();
    let kept = world.cached_roots();
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let before = inode(&kept[0]);
    let keeping = || WorkDir::new(&world.path().join("work")).unwrap().with_root_cache(trees.clone());
    let work = keeping();
    let root = tools(&lock.packages, &files, &work, &Silent).unwrap();
    assert_eq!((root.parent(), inode(&kept[0])), (Some(kept[0].as_path()), before));
    drop(work);
    fs::write(root.join("usr/bin/tool"), "y").unwrap();
    let root = tools(&lock.packages, &files, &keeping(), &Silent).unwrap();
    assert_eq!(fs::read(root.join("usr/bin/tool")).unwrap(), b"x");
    assert_eq!(world.cached_roots(), kept);
}

fn packages_are_decompressed_once() {
    let world = world("", &[]);
    let debs = with_base(varied());
    let keeping = || Unpacked::new(&Cache::new(world.path().join("cache")));
    let assemble = || {
        let (lock, files) = lock(&debs, &world.path().join("debs"));
        let (files, others) = (files.with_cache(keeping()), Ids::default());
        let request = Request { profile: &world.profile, lock: &lock, files: &files, others: &others, hooks: &() };
        let work = WorkDir::new(&world.path().join("work")).unwrap();
        configure(&request, work, &Silent).unwrap().assemble(&world.profile, &lock, "1").unwrap()
    };
    let expected = listing(&assemble().tree);
    let folder = world.path().join("cache/unpacked");
    let kept: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), debs.len());
    let bytes: Vec<Vec<u8>> = kept.iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(listing(&assemble().tree), expected);
    // If the cached copy is damaged in any way, the package itself is read, and cached again.
    for damage in [
        |bytes: &mut Vec<u8>| bytes[1] ^= 1,
        |bytes: &mut Vec<u8>| bytes.truncate(1000),
        |bytes: &mut Vec<u8>| {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        },
        Vec::clear,
    ] {
        for (path, good) in kept.iter().zip(&bytes) {
            let mut bad = good.clone();
            damage(&mut bad);
            fs::write(path, bad).unwrap();
        }
        assert_eq!(listing(&assemble().tree), expected);
        for (path, good) in kept.iter().zip(&bytes) {
            assert!(fs::read(path).unwrap() == *good, "{}", path.display());
        }
    }
    // If the cached copy is intact, nothing else is read.
    let before = fs::metadata(&kept[0]).unwrap().ino();
    assert_eq!(listing(&assemble().tree), expected);
    assert_eq!(fs::metadata(&kept[0]).unwrap().ino(), before);
}
