//! What dpkg does with packages: database, scripts, diversions, conflicts.

use crate::world::{EPOCH, Listener, link, listing, node, text, varied, with_base, world};
use applbuild::packages::Ids;
use applbuild::progress::Silent;
use applbuild::rootfs::{AssembleError, Request, WorkFolder, configure};
use applbuild::tree::{Kind, TreePath};
use applbuild_test_support::debs::{Deb, lock};
use applbuild_test_support::namespace::{Test, tests};
use appliance_contract::causes::WithCauses as _;
use std::fs;

pub const TESTS: &[Test] = tests![
    packages_become_an_image,
    two_assemblies_are_equal,
    what_is_unpacked_can_be_worked_on_while_scripts_run,
    diversions_and_replacements_are_honoured,
    a_file_of_two_packages_is_refused,
    a_failing_script_is_named,
    nothing_is_written_outside,
    damaged_packages_are_refused,
    units_questions_with_one_answer_need_no_helper,
];

fn packages_become_an_image() {
    let world = world("[prune]\ndocumentation = true\n", &[]);
    let assembled = world.assemble(&with_base(varied())).unwrap_or_else(|error| panic!("{error}"));
    let tree = &assembled.tree;
    // dpkg's database: all installed, conffiles with their hash, lists by the right names.
    let status = text(tree, "/usr/lib/appliance/dpkg/status");
    let packages = status.lines().filter(|line| line.starts_with("Package: ")).count();
    assert_eq!(status.matches("Status: install ok installed").count(), packages);
    assert_eq!(packages, 5, "{status}");
    assert!(status.contains(" /etc/late.conf 6658ea6e0b887bce7ec6bb7a0c3d5c0d\n"), "{status}");
    assert!(!status.contains("newconffile"), "{status}");
    let info = "/usr/lib/appliance/dpkg/info";
    assert!(node(tree, &format!("{info}/same:amd64.list")).is_some());
    assert!(text(tree, &format!("{info}/late.list")).starts_with("/etc/late.conf\n/usr/share/doc/late\n"));
    assert!(text(tree, &format!("{info}/late.md5sums")).contains("  usr/bin/late\n"));
    assert!(!text(tree, &format!("{info}/late.md5sums")).contains("etc/late.conf"));
    assert_eq!(link(tree, "/var/lib/dpkg"), "/usr/lib/appliance/dpkg");
    // Scripts ran at their times.
    assert_eq!(text(tree, "/var/preinst"), "late\n");
    assert_eq!(text(tree, "/var/postinst"), "configured\n");
    assert_eq!(text(tree, "/var/triggered"), "/usr/share/watched\n");
    assert_eq!(text(tree, "/var/epoch"), format!("{EPOCH}\n"));
    assert_eq!(text(tree, "/etc/late.conf"), "configured\n");
    // What the archives say.
    let late = node(tree, "/usr/bin/late").unwrap();
    assert_eq!((late.metadata.mode, late.metadata.uid, late.metadata.gid), (0o4755, 500, 500));
    assert_eq!(late.metadata.mtime, 1_000_000_000);
    let id = |path: &str| tree.lookup(&TreePath::parse(path).unwrap());
    assert_eq!(id("/usr/bin/late"), id("/usr/bin/later"));
    assert!(matches!(node(tree, "/usr/lib/device").unwrap().kind, Kind::CharacterDevice { major: 5, minor: 1 }));
    assert_eq!(text(tree, "/usr/lib/late.so"), "library");
    // What the build left is gone, and every time is settled.
    for gone in ["/usr/sbin/policy-rc.d", "/etc/kernel-img.conf", "/var/log/late/log", "/etc/ssh/ssh_host_rsa_key"] {
        assert!(node(tree, gone).is_none(), "{gone}");
    }
    assert!(node(tree, "/var/log/late").is_some());
    assert_eq!(node(tree, "/var/made").unwrap().metadata.mtime, EPOCH);
    for (path, id) in tree.walk() {
        let node = tree.node(id);
        assert!(node.metadata.mtime <= EPOCH, "{path}");
        assert!(!matches!(node.kind, Kind::Directory(_)) || node.metadata.mtime == EPOCH, "{path}");
    }
    // What a read-only root needs.
    assert_eq!(text(tree, "/etc/machine-id"), "");
    assert_eq!((link(tree, "/root"), link(tree, "/home")), ("var/roothome".into(), "var/home".into()));
    for place in ["/config", "/data", "/srv", "/var/roothome", "/var/home"] {
        assert!(matches!(node(tree, place).map(|node| &node.kind), Some(Kind::Directory(_))), "{place}");
    }
    assert!(text(tree, "/etc/.updated").contains(&format!("TIMESTAMP_NSEC={EPOCH}000000000\n")));
    assert_eq!(text(tree, "/etc/os-release"), "ID=test\nIMAGE_ID=\"t\"\nIMAGE_VERSION=\"1-2\"\n");
    assert!(text(tree, "/etc/shadow").starts_with("root:*:18518:0:"));
    assert_eq!(node(tree, "/usr/bin/appliance").unwrap().metadata.mode, 0o755);
    assert!(text(tree, "/usr/share/appliance/manifest.json").contains("\"version\": \"1-2\""));
    assert_eq!(assembled.manifest.packages.len(), 5);
    // What was pruned is told.
    assert_eq!(text(tree, "/usr/share/appliance/pruned"), "/usr/share/doc/late/README\n");
    assert_eq!(text(tree, "/usr/share/doc/late/copyright"), "free");
    drop(assembled);
    assert!(world.work_is_empty());
}

fn two_assemblies_are_equal() {
    let (one, other) = (world("", &[]), world("", &[]));
    let debs = with_base(varied());
    let first = listing(&one.assemble(&debs).unwrap().tree);
    // A later second, another folder.
    let second = listing(&other.assemble(&debs).unwrap().tree);
    for (left, right) in first.lines().zip(second.lines()) {
        assert_eq!(left, right);
    }
    assert_eq!(first.len(), second.len());
}

fn what_is_unpacked_can_be_worked_on_while_scripts_run() {
    let world = world("[prune]\npaths = [\"/usr/share/gone\"]\n", &[]);
    let package = Deb::new("first")
        .folder("usr")
        .folder("usr/share")
        .file("usr/share/a", "a")
        .file("usr/share/b", "b")
        .file("usr/share/gone", "gone")
        .script("postinst", "rm /usr/share/b; echo x >/usr/share/c");
    let debs = with_base([package]);
    let (lock, files) = lock(&debs, &world.path().join("debs"));
    let (listener, others) = (Listener::default(), Ids::default());
    let request = Request { profile: &world.profile, lock: &lock, files: &files, others: &others, ahead: &listener };
    let work = WorkFolder::new(&world.path().join("work")).unwrap();
    let assembled = configure(&request, work, &Silent).unwrap().assemble(&world.profile, &lock, "1").unwrap();
    // What it was told of is still there, whatever scripts did.
    let seen = listener.unpacked.into_inner().unwrap().unwrap();
    assert_eq!((text(&seen, "/usr/share/a"), text(&seen, "/usr/share/b")), ("a".into(), "b".into()));
    assert!(node(&seen, "/usr/share/c").is_none() && node(&seen, "/usr/share/gone").is_none());
    assert!(listener.modules.into_inner().unwrap().is_none());
    assert!(node(&assembled.tree, "/usr/share/b").is_none() && node(&assembled.tree, "/usr/share/c").is_some());
}

fn diversions_and_replacements_are_honoured() {
    let diverter = Deb::new("diverter").file("usr/bin/tool", "mine").script(
        "preinst",
        "dpkg-divert --package diverter --add --no-rename --divert /usr/bin/tool.real /usr/bin/tool",
    );
    let tool = Deb::new("tool").file("usr/bin/tool", "theirs");
    let new = Deb::new("new").field("Replaces: old (<< 2)").file("usr/bin/moved", "new");
    let old = Deb::new("old").file("usr/bin/moved", "old").file("usr/bin/kept", "old");
    let world = world("", &[]);
    let assembled = world.assemble(&with_base([diverter, tool, new, old])).unwrap();
    let tree = &assembled.tree;
    assert_eq!((text(tree, "/usr/bin/tool"), text(tree, "/usr/bin/tool.real")), ("mine".into(), "theirs".into()));
    assert_eq!((text(tree, "/usr/bin/moved"), text(tree, "/usr/bin/kept")), ("new".into(), "old".into()));
    assert_eq!(text(tree, "/usr/lib/appliance/dpkg/info/old.list"), "/usr/bin/kept\n");
}

fn a_file_of_two_packages_is_refused() {
    let world = world("", &[]);
    let (one, two) = (Deb::new("one").file("usr/lib/x", "1"), Deb::new("two").file("lib/x", "2"));
    let error = world.assemble(&with_base([one, two])).unwrap_err();
    assert!(
        matches!(&error, AssembleError::Conflict { path, other, .. } if path == "/lib/x" && other == "one"),
        "{error}"
    );
    assert!(error.with_causes().contains("two 1.0"), "{error}");
    // One that replaces an older version than is there.
    let two = Deb::new("two").field("Replaces: one (<< 1.0)").file("usr/lib/x", "2");
    let error = world.assemble(&with_base([Deb::new("one").file("usr/lib/x", "1"), two])).unwrap_err();
    assert!(matches!(error, AssembleError::Conflict { .. }), "{error}");
    assert!(world.work_is_empty());
}

fn a_failing_script_is_named() {
    let world = world("", &[]);
    for script in ["preinst", "postinst"] {
        let bad = Deb::new("bad").script(script, "echo the reason >&2\nexit 3");
        let error = world.assemble(&with_base([bad])).unwrap_err();
        let AssembleError::Script { package, script: found, exit, log } = &error else { panic!("{error}") };
        assert_eq!((package.as_str(), found.as_str(), exit.as_str()), ("bad", script, "exit status 3"));
        assert!(log.contains("the reason"), "{log}");
        assert!(world.work_is_empty());
    }
}

fn nothing_is_written_outside() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let world = world("", &[]);
    // A symlink of one package, a file through it of another.
    let bait = Deb::new("bait").symlink("usr/share/out", target);
    let bite = Deb::new("bite").file("usr/share/out/file", "x");
    let error = world.assemble(&with_base([bait, bite])).unwrap_err();
    assert!(error.with_causes().contains("bite 1.0") && error.with_causes().contains("missing"), "{error}");
    // Within one package the reader itself refuses it; `..` and absolute names too.
    let one = Deb::new("one").symlink("usr/share/out", target).file("usr/share/out/file", "x");
    assert!(world.assemble(&with_base([one])).is_err());
    // An absolute symlink to a folder that the root has stays inside.
    let inward = Deb::new("a-link").symlink("usr/share/in", "/usr/lib");
    let through = Deb::new("b-file").file("usr/share/in/file", "inside");
    let assembled = world.assemble(&with_base([inward, through])).unwrap();
    assert_eq!(text(&assembled.tree, "/usr/lib/file"), "inside");
    assert!(fs::read_dir(outside.path()).unwrap().next().is_none());
}

fn damaged_packages_are_refused() {
    let world = world("", &[]);
    let debs = with_base(varied());
    let (lock, files) = lock(&debs, &world.path().join("debs"));
    let path = world.path().join("debs/late.deb");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    let work = WorkFolder::new(&world.path().join("work")).unwrap();
    let request = Request { profile: &world.profile, lock: &lock, files: &files, others: &Ids::default(), ahead: &() };
    let error = configure(&request, work, &Silent).unwrap_err();
    assert!(error.with_causes().contains("late"), "{error}");
    assert!(world.work_is_empty());
}

fn units_questions_with_one_answer_need_no_helper() {
    let world = world("", &[]);
    let helper = Deb::new("init-system-helpers").field("Essential: yes").program(
        "usr/bin/deb-systemd-helper",
        "#!/bin/sh\necho \"$*\" >>/var/lib/asked\nexit 7\n",
        0o755,
    );
    let asks = |name: &str, before: &str| {
        let ask = |words: &str| {
            format!("code=0; deb-systemd-helper {words} || code=$?; echo \"{words}: $code\" >>/var/lib/{name}")
        };
        let questions = [
            "unmask a.service",
            "--quiet was-enabled a.service",
            "debian-installed a.service",
            "enable a.service",
            "--user unmask a.service",
            "unmask a.service b.service",
        ];
        let lines: Vec<String> = std::iter::once(before.to_owned()).chain(questions.map(ask)).collect();
        Deb::new(name).script("postinst", &lines.join("\n"))
    };
    let known = "mkdir -p /var/lib/systemd/deb-systemd-helper-masked /var/lib/systemd/deb-systemd-helper-enabled\n\
        echo x >/var/lib/systemd/deb-systemd-helper-enabled/a.service.dsh-also";
    let assembled = world.assemble(&with_base([helper, asks("one", ":"), asks("two", known)])).unwrap();
    let others = "enable a.service: 7\n--user unmask a.service: 7\nunmask a.service b.service: 7\n";
    let new = "unmask a.service: 0\n--quiet was-enabled a.service: 0\ndebian-installed a.service: 1\n";
    assert_eq!(text(&assembled.tree, "/var/lib/one"), format!("{new}{others}"));
    // Where there is something to know, it is asked.
    let asked = "unmask a.service: 7\n--quiet was-enabled a.service: 7\ndebian-installed a.service: 7\n";
    assert_eq!(text(&assembled.tree, "/var/lib/two"), format!("{asked}{others}"));
    assert_eq!(text(&assembled.tree, "/var/lib/asked").lines().count(), 3 + 6);
    assert!(node(&assembled.tree, "/usr/local/sbin/deb-systemd-helper").is_none());
}
