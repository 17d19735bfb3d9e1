//! Roots, tools and packages that are taken from the cache instead of being made again.

use crate::world::{listing, node, varied, with_base, world};
use applbuild::cache::{Cache, Unpacked};
use applbuild::packages::Ids;
use applbuild::progress::Silent;
use applbuild::rootfs::{Files, Request, WorkFolder, are_kept, configure, tools, tools_ahead};
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
    let cold = listing(&world.assemble_keeping(&debs).tree);
    let kept = world.kept();
    assert_eq!(kept.len(), 1, "nothing was kept: does this kernel lay folders over each other in a user namespace?");
    let time = |path: &Path| fs::metadata(path.join("record")).unwrap().modified().unwrap();
    let made = time(&kept[0]);
    let warm = listing(&world.assemble_keeping(&debs).tree);
    assert_eq!((world.kept(), time(&kept[0])), (kept.clone(), made));
    assert!(plain == cold && cold == warm);
    assert!(!kept[0].join("root/etc/new").exists(), "what a build lays over it got into the kept root");
    assert!(world.work_is_empty());
    // Another set of packages is another root.
    world.assemble_keeping(&with_base([]));
    assert_eq!(world.kept().len(), 2);
}

fn a_kept_root_that_was_touched_is_made_again() {
    let world = world("", &[]);
    let debs = with_base(varied());
    let expected = listing(&world.assemble_keeping(&debs).tree);
    let root = world.kept().remove(0).join("root");
    let damages: [&dyn Fn(); 5] = [
        &|| fs::write(root.join("usr/share/watched/x"), "y").unwrap(),
        &|| fs::remove_file(root.join("usr/share/watched/x")).unwrap(),
        &|| fs::write(root.join("usr/more"), "").unwrap(),
        &|| fs::set_permissions(root.join("usr"), Permissions::from_mode(0o700)).unwrap(),
        &|| fs::write(root.join("../record"), "").unwrap(),
    ];
    for (number, damage) in damages.iter().enumerate() {
        damage();
        let made = listing(&world.assemble_keeping(&debs).tree);
        assert!(made == expected, "damage {number} got into an image");
    }
    assert_eq!(world.kept().len(), 1);
}

fn packages_are_fetched_where_something_is_made_of_them() {
    let world = world("", &[]);
    let debs = with_base(varied());
    let (lock, _) = lock(&debs, &world.path().join("debs"));
    let (trees, epoch) = (world.path().join("trees"), lock.date);
    // How often packages were fetched for a root.
    let fetched = || {
        let folder = world.path().join("debs");
        let paths: BTreeMap<_, _> = lock
            .packages
            .iter()
            .map(|package| (package.sha256, folder.join(format!("{}.deb", package.name))))
            .collect();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let files = Files::later(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(paths.clone())
        });
        let work = WorkFolder::new(&world.path().join("work")).unwrap().keeping_trees(trees.clone());
        let (profile, others) = (&world.profile, Ids::default());
        let request = Request { profile, lock: &lock, files: &files, others: &others, ahead: &() };
        configure(&request, work, &Silent).unwrap();
        asked.load(Ordering::Relaxed)
    };
    let kept = |with_tools| are_kept(&trees, &lock, epoch, with_tools).unwrap();
    assert!(!kept(false));
    assert_eq!(fetched(), 1);
    assert!(kept(false) && !kept(true), "no tools were unpacked");
    assert_eq!(fetched(), 0);
    fs::write(world.kept().remove(0).join("root/usr/more"), "").unwrap();
    assert_eq!(fetched(), 1);
    assert_eq!(fetched(), 0);
}

fn what_a_script_changes_in_place_is_known_for_what_it_is() {
    // As long as before, and with the time that it had: only the inode tells.
    let script = "printf new > /usr/share/edited/x && touch -r /usr/share/edited/z /usr/share/edited/x";
    let edited = Deb::new("edited")
        .program("usr/bin/touch", fs::read(which("touch")).unwrap(), 0o755)
        .folder("usr/share/edited")
        .file("usr/share/edited/x", "old")
        .file("usr/share/edited/z", "old");
    let world = world("", &[]);
    let tree = world.assemble_keeping(&with_base([edited.script("postinst", script)])).tree;
    for (path, content) in [("/usr/share/edited/x", "new"), ("/usr/share/edited/z", "old")] {
        let Some(Kind::File(found)) = node(&tree, path).map(|node| &node.kind) else { panic!("{path} is no file") };
        assert_eq!(*found.fingerprint().unwrap(), Fingerprint::of(content.as_bytes()).unwrap(), "{path}");
    }
}

fn tools_are_unpacked_and_not_configured() {
    let world = world("", &[]);
    let tool = Deb::new("tool").folder("usr").folder("usr/bin").file("usr/bin/tool", "x").script("postinst", "exit 1");
    let (lock, files) = lock(&[tool], &world.path().join("debs"));
    let work = WorkFolder::new(&world.path().join("work")).unwrap();
    let root = tools(&lock.packages, &files, &work, &Silent).unwrap();
    assert_eq!(fs::read(root.join("usr/bin/tool")).unwrap(), b"x");
    assert!(root.starts_with(work.path()));
    // Where trees are kept, it is one of them, made once and made again once it is damaged.
    let trees = world.path().join("trees");
    tools_ahead(&lock.packages, &files, &trees).unwrap();
    let kept = world.kept();
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let before = inode(&kept[0]);
    let keeping = || WorkFolder::new(&world.path().join("work")).unwrap().keeping_trees(trees.clone());
    let work = keeping();
    let root = tools(&lock.packages, &files, &work, &Silent).unwrap();
    assert_eq!((root.parent(), inode(&kept[0])), (Some(kept[0].as_path()), before));
    drop(work);
    fs::write(root.join("usr/bin/tool"), "y").unwrap();
    let root = tools(&lock.packages, &files, &keeping(), &Silent).unwrap();
    assert_eq!(fs::read(root.join("usr/bin/tool")).unwrap(), b"x");
    assert_eq!(world.kept(), kept);
}

fn packages_are_decompressed_once() {
    let world = world("", &[]);
    let debs = with_base(varied());
    let keeping = || Unpacked::new(&Cache::new(world.path().join("cache")));
    let assemble = || {
        let (lock, files) = lock(&debs, &world.path().join("debs"));
        let (files, others) = (files.keeping(keeping()), Ids::default());
        let request = Request { profile: &world.profile, lock: &lock, files: &files, others: &others, ahead: &() };
        let work = WorkFolder::new(&world.path().join("work")).unwrap();
        configure(&request, work, &Silent).unwrap().assemble(&world.profile, &lock, "1").unwrap()
    };
    let expected = listing(&assemble().tree);
    let folder = world.path().join("cache/unpacked");
    let kept: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), debs.len());
    let bytes: Vec<Vec<u8>> = kept.iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(listing(&assemble().tree), expected);
    // Whatever is wrong with what is kept, the package itself is read, and kept anew.
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
    // Nothing but what is kept is read where that is whole.
    let before = fs::metadata(&kept[0]).unwrap().ino();
    assert_eq!(listing(&assemble().tree), expected);
    assert_eq!(fs::metadata(&kept[0]).unwrap().ino(), before);
}
