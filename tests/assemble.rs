//! Assembling, from packages made here; the machine's own dpkg configures them.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "inside/debs.rs"]
mod debs;
#[path = "inside/mod.rs"]
mod inside;
#[path = "inside/sets.rs"]
mod sets;

use applbuild::packages::{Digest, Ids};
use applbuild::profile::{Library, Profile};
use applbuild::progress::Silent;
use applbuild::rootfs::{
    Ahead, AssembleError, Assembled, Files, Request, WorkFolder, are_kept, configure, tools, tools_ahead,
};
use applbuild::store::Unpacked;
use applbuild::tree::{Fingerprint, Kind, Node, Tree, TreePath};
use appliance_contract::causes::WithCauses as _;
use debs::{Deb, base, lock, which};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const EPOCH: i64 = 1_600_000_000;

fn main() -> ExitCode {
    inside::main(&[
        ("packages_become_an_image", packages_become_an_image),
        ("two_assemblies_are_equal", two_assemblies_are_equal),
        ("a_kept_root_is_as_good_as_a_new_one", a_kept_root_is_as_good_as_a_new_one),
        ("a_kept_root_that_was_touched_is_made_again", a_kept_root_that_was_touched_is_made_again),
        ("packages_are_fetched_where_something_is_made_of_them", packages_are_fetched_where_something_is_made_of_them),
        (
            "what_a_script_changes_in_place_is_known_for_what_it_is",
            what_a_script_changes_in_place_is_known_for_what_it_is,
        ),
        ("what_is_unpacked_can_be_worked_on_while_scripts_run", what_is_unpacked_can_be_worked_on_while_scripts_run),
        ("diversions_and_replacements_are_honoured", diversions_and_replacements_are_honoured),
        ("a_file_of_two_packages_is_refused", a_file_of_two_packages_is_refused),
        ("a_failing_script_is_named", a_failing_script_is_named),
        ("nothing_is_written_outside", nothing_is_written_outside),
        ("overlays_are_laid_over", overlays_are_laid_over),
        ("passwords_are_refused", passwords_are_refused),
        ("sets_are_taken_as_they_are", sets_are_taken_as_they_are),
        ("hostile_sets_are_refused_by_name", hostile_sets_are_refused_by_name),
        ("odd_sets_are_taken", odd_sets_are_taken),
        ("tools_are_unpacked_and_not_configured", tools_are_unpacked_and_not_configured),
        ("modules_are_listed_beside_the_scripts", modules_are_listed_beside_the_scripts),
        ("modules_are_listed_as_scripts_leave_them", modules_are_listed_as_scripts_leave_them),
        ("units_questions_with_one_answer_need_no_helper", units_questions_with_one_answer_need_no_helper),
        ("tools_that_make_an_initramfs_find_the_lists", tools_that_make_an_initramfs_find_the_lists),
        ("modules_that_cannot_be_listed_are_an_error", modules_that_cannot_be_listed_are_an_error),
        ("packages_are_decompressed_once", packages_are_decompressed_once),
        ("damaged_packages_are_refused", damaged_packages_are_refused),
        ("users_keep_the_ids_that_the_lock_has", users_keep_the_ids_that_the_lock_has),
    ])
}

/// A profile in a folder of its own, with overlay files.
struct World {
    folder: TempDir,
    profile: Profile,
}

fn world(toml: &str, files: &[(&str, &str)]) -> World {
    let folder = tempfile::tempdir().unwrap();
    let profiles = folder.path().join("profiles");
    let head = "kind = \"host\"\nversion = \"1\"\narchitecture = \"amd64\"\nsuites = [\"debian/trixie\"]\ncomponents = [\"main\"]\n";
    for (path, text) in files {
        let path = profiles.join("t").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::create_dir_all(&profiles).unwrap();
    let packages = if toml.contains("packages =") { "" } else { "packages = [\"base-files\"]\n" };
    fs::write(profiles.join("t.toml"), format!("{head}{packages}{toml}")).unwrap();
    fs::create_dir(folder.path().join("debs")).unwrap();
    let profile = Library::new(folder.path()).load("t").unwrap_or_else(|error| panic!("{error:?}"));
    World { folder, profile }
}

impl World {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn assemble(&self, debs: &[Deb]) -> Result<Assembled, AssembleError> {
        self.assemble_with(debs, &Ids::default()).map(|(assembled, _)| assembled)
    }

    /// With the ids that an older lock has; also those that the new one gets.
    fn assemble_with(&self, debs: &[Deb], kept: &Ids) -> Result<(Assembled, Ids), AssembleError> {
        let work = WorkFolder::new(&self.path().join("work")).unwrap();
        self.assemble_in(work, debs, kept)
    }

    /// Takes the configured root that was kept, or keeps it.
    fn assemble_keeping(&self, debs: &[Deb]) -> Assembled {
        let work = WorkFolder::new(&self.path().join("work")).unwrap().keeping_trees(self.path().join("trees"));
        self.assemble_in(work, debs, &Ids::default()).unwrap_or_else(|error| panic!("{error}")).0
    }

    /// The roots that are kept.
    fn kept(&self) -> Vec<PathBuf> {
        fs::read_dir(self.path().join("trees")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn assemble_in(&self, work: WorkFolder, debs: &[Deb], kept: &Ids) -> Result<(Assembled, Ids), AssembleError> {
        let (mut lock, files) = lock(debs, &self.path().join("debs"));
        lock.ids = kept.clone();
        let others = Ids::default();
        let request = Request { profile: &self.profile, lock: &lock, files: &files, others: &others, ahead: &() };
        let configured = configure(&request, work, &Silent)?;
        lock.ids = configured.ids.clone();
        Ok((configured.assemble(&self.profile, &lock, "1-2")?, lock.ids))
    }

    fn work_is_empty(&self) -> bool {
        fs::read_dir(self.path().join("work")).unwrap().next().is_none()
    }
}

fn with_base(debs: impl IntoIterator<Item = Deb>) -> Vec<Deb> {
    base().into_iter().chain(debs).collect()
}

fn node<'a>(tree: &'a Tree, path: &str) -> Option<&'a Node> {
    tree.get(&TreePath::parse(path).unwrap())
}

fn text(tree: &Tree, path: &str) -> String {
    match node(tree, path).map(|node| &node.kind) {
        Some(Kind::File(content)) => String::from_utf8(content.read().unwrap()).unwrap(),
        other => panic!("{path}: found {other:?}"),
    }
}

fn link(tree: &Tree, path: &str) -> String {
    match node(tree, path).map(|node| &node.kind) {
        Some(Kind::Symlink(target)) => String::from_utf8(target.clone()).unwrap(),
        other => panic!("{path}: found {other:?}"),
    }
}

/// Packages with all that dpkg has to do.
fn varied() -> Vec<Deb> {
    let watcher = Deb::new("watcher")
        .field("Essential: yes")
        .control("triggers", "interest-noawait /usr/share/watched\n")
        .script("postinst", "if [ \"$1\" = triggered ]; then echo \"$2\" >> /var/triggered; fi");
    let mut same =
        Deb::new("same").field("Multi-Arch: same").folder("usr/share/watched").file("usr/share/watched/x", "x");
    same.architecture = "amd64";
    let late = Deb::new("late")
        .field("Pre-Depends: watcher")
        .control("conffiles", "/etc/late.conf\n")
        .file("etc/late.conf", "configured\n")
        .folder("usr/share/doc/late")
        .file("usr/share/doc/late/README", "read me")
        .file("usr/share/doc/late/copyright", "free")
        .program("usr/bin/late", "#!/bin/sh\n", 0o4755)
        .owned(500, 500)
        .hard_link("usr/bin/later", "usr/bin/late")
        .device("usr/lib/device", 5, 1)
        // Through the link of the merged /usr.
        .file("lib/late.so", "library")
        .script(
            "preinst",
            "[ ! -e /usr/bin/late ]; [ \"$1\" = install ]; echo \"$DPKG_MAINTSCRIPT_PACKAGE\" > /var/preinst",
        )
        .script(
            "postinst",
            "cat /etc/late.conf > /var/postinst; mkdir /var/log/late; echo noise > /var/log/late/log\n\
             mkdir -p /etc/ssh; echo secret > /etc/ssh/ssh_host_rsa_key; [ ! -e /etc/late.conf.dpkg-new ]\n\
             [ -x /usr/sbin/policy-rc.d ]; echo now > /var/made; echo \"$SOURCE_DATE_EPOCH\" > /var/epoch",
        );
    vec![watcher, same, late]
}

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

/// All of a tree, in a text.
fn listing(tree: &Tree) -> String {
    tree.walk()
        .map(|(path, id)| {
            let Node { metadata, kind } = tree.node(id);
            let kind = match kind {
                Kind::Directory(_) => "directory".to_owned(),
                Kind::File(content) => Digest::of(&content.read().unwrap()).to_string(),
                other => format!("{other:?}"),
            };
            format!("{path} {metadata:?} {kind}\n")
        })
        .collect()
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
            .map(|package| (package.sha256.clone(), folder.join(format!("{}.deb", package.name))))
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

fn overlays_are_laid_over() {
    let profile = "[files.modes]\n\"/etc/of-a\" = { mode = \"0640\", owner = \"_a\", group = \"_a\" }\n\
        [files.links]\n\"/etc/link\" = \"of-a\"\n\"/root\" = \"var/roothome\"\n[variables]\ncolour = \"red\"\n";
    let files = [("etc/of-a", "a"), ("etc/rendered.hbs", "{{vars.colour}} {{version}}"), ("deep/er/file", "x")];
    let rich = world(profile, &files);
    let assembled = rich.assemble(&base()).unwrap_or_else(|error| panic!("{error}"));
    let tree = &assembled.tree;
    let metadata = &node(tree, "/etc/of-a").unwrap().metadata;
    assert_eq!((metadata.mode, metadata.uid, metadata.gid, metadata.mtime), (0o640, 500, 500, EPOCH));
    assert_eq!(text(tree, "/etc/rendered"), "red 1-2");
    assert_eq!((link(tree, "/etc/link"), link(tree, "/root")), ("of-a".into(), "var/roothome".into()));
    assert_eq!(node(tree, "/deep/er").unwrap().metadata.mode, 0o755);
    let stranger =
        world("[files.modes]\n\"/etc/x\" = { mode = \"0640\", owner = \"nobody-here\" }\n", &[("etc/x", "")]);
    let error = stranger.assemble(&base()).unwrap_err();
    assert!(error.with_causes().contains("nobody-here"), "{error}");
    let services = world("[services]\nenable = [\"x.service\"]\n", &[]);
    assert!(matches!(services.assemble(&base()), Err(AssembleError::NoSystemctl { key: "enable" })));
}

fn passwords_are_refused() {
    let error = world("", &[("etc/shadow", "root:$y$j9T$x:1::::::\n")]).assemble(&base()).unwrap_err();
    assert!(matches!(&error, AssembleError::Password { user, .. } if user == "root"), "{error}");
}

fn sets_are_taken_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let set = |name: &str, deb: &Deb| {
        let bytes = zstd::encode_all(deb.tar().as_slice(), 1).unwrap();
        fs::write(folder.path().join(name), &bytes).unwrap();
        Digest::of(&bytes).to_string()
    };
    let first = set("base.tzst", &Deb::new("x").folder("etc").file("etc/rc", "old").device("dev/console", 0, 0));
    let second = set("etc.tzst", &Deb::new("x").file("etc/rc", "new").file("netbsd", "kernel"));
    let entry = |name: &str, sha256: &str| {
        format!("[[sets]]\nfile = \"{}\"\nsha256 = \"{sha256}\"\n", folder.path().join(name).display())
    };
    let head = "packages = []\nagent = false\n[boot]\nkernel = \"/netbsd\"\nprotocol = \"multiboot\"\n";
    let good = world(&format!("{head}{}{}", entry("base.tzst", &first), entry("etc.tzst", &second)), &[]);
    let assembled = good.assemble(&[]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(text(&assembled.tree, "/etc/rc"), "new");
    assert!(matches!(node(&assembled.tree, "/dev/console").unwrap().kind, Kind::CharacterDevice { .. }));
    assert!(node(&assembled.tree, "/etc/machine-id").is_none() && node(&assembled.tree, "/usr").is_none());
    let bad = world(&format!("{head}{}", entry("base.tzst", &second)), &[]);
    let error = bad.assemble(&[]).unwrap_err();
    assert!(error.with_causes().contains(&first) && error.with_causes().contains(&second), "{error}");
}

/// Assembles a system of these sets alone; it stands in a folder whose parent an attack would reach.
fn assemble_sets(archives: &[Vec<u8>]) -> Result<(World, Assembled), String> {
    let mut toml = "packages = []\nagent = false\n[boot]\nkernel = \"/netbsd\"\nprotocol = \"multiboot\"\n".to_owned();
    let folder = tempfile::tempdir().unwrap();
    for (number, bytes) in archives.iter().enumerate() {
        let path = folder.path().join(format!("set{number}.tar"));
        fs::write(&path, bytes).unwrap();
        toml += &format!("[[sets]]\nfile = \"{}\"\nsha256 = \"{}\"\n", path.display(), Digest::of(bytes));
    }
    let world = world(&toml, &[]);
    let outside = |world: &World| {
        let mut names: Vec<_> = fs::read_dir(world.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = outside(&world);
    let assembled = world.assemble(&[]).map_err(|error| error.with_causes());
    let mut after = outside(&world);
    after.retain(|name| name != "work");
    assert_eq!(after, before);
    if assembled.is_err() {
        assert!(world.work_is_empty());
    }
    Ok((world, assembled?))
}

fn hostile_sets_are_refused_by_name() {
    for (case, archives, said) in sets::hostile() {
        let error = assemble_sets(&archives).err().unwrap_or_else(|| panic!("{case}: was taken"));
        assert!(error.contains(said), "{case}: {error}: expected {said}");
        let last = format!("set{}.tar (", archives.len() - 1);
        assert!(error.contains(&last) && error.contains("t.toml:"), "{case}: {error}");
    }
    assert!(!Path::new("/escaped").exists());
}

fn odd_sets_are_taken() {
    let archive = |entries: &[&str]| sets::archive(entries);
    let twice = archive(&["etc/", "etc/a = old", "etc/a = new", "etc/c = 1", "etc/d => etc/c"]);
    let inward = archive(&["out -> /etc", "netbsd = k"]);
    let through = archive(&["out/through = inside"]);
    let (_world, assembled) = assemble_sets(&[twice, inward, through]).unwrap_or_else(|error| panic!("{error}"));
    let tree = &assembled.tree;
    assert_eq!((text(tree, "/etc/a"), text(tree, "/etc/d")), ("new".into(), "1".into()));
    assert_eq!(text(tree, "/etc/through"), "inside");
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

/// Keeps what it is told.
#[derive(Debug, Default)]
struct Listener {
    unpacked: Mutex<Option<Tree>>,
    modules: Mutex<Option<Tree>>,
}

impl Ahead for Listener {
    fn unpacked(&self, tree: Tree) {
        *self.unpacked.lock().unwrap() = Some(tree);
    }

    fn modules_listed(&self, tree: Tree) {
        *self.modules.lock().unwrap() = Some(tree);
    }
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

/// A depmod that tells of what it sees, and a package with modules.
fn with_modules(depmod: &str) -> Vec<Deb> {
    let program = format!("#!/bin/sh\ncd /lib/modules/$1\n{depmod}\n");
    let kmod = Deb::new("kmod")
        .folder("usr")
        .folder("usr/sbin")
        .program("usr/sbin/depmod", program, 0o755)
        .folder("etc")
        .folder("etc/depmod.d")
        .file("etc/depmod.d/own.conf", "override x\n")
        .control("conffiles", "/etc/depmod.d/own.conf\n");
    let kernel = Deb::new("linux-image")
        .folder("boot")
        .file("boot/vmlinuz-6.1", "kernel")
        .folder("usr")
        .folder("usr/lib")
        .folder("usr/lib/modules")
        .folder("usr/lib/modules/6.1")
        .file("usr/lib/modules/6.1/a.ko", "a")
        .script("postinst", "depmod 6.1");
    let other = Deb::new("more-modules").folder("usr/lib/modules/6.1").file("usr/lib/modules/6.1/b.ko", "b");
    with_base([kmod, kernel, other])
}

fn modules_are_listed_beside_the_scripts() {
    let world = world("", &[]);
    let debs = with_modules("echo *.ko >modules.dep; cat /etc/depmod.d/own.conf >modules.conf");
    let (lock, files) = lock(&debs, &world.path().join("debs"));
    let (listener, others) = (Listener::default(), Ids::default());
    let request = Request { profile: &world.profile, lock: &lock, files: &files, others: &others, ahead: &listener };
    let work = WorkFolder::new(&world.path().join("work")).unwrap();
    let assembled = configure(&request, work, &Silent).unwrap().assemble(&world.profile, &lock, "1").unwrap();
    let list = |tree: &Tree, name: &str| text(tree, &format!("/usr/lib/modules/6.1/{name}"));
    assert_eq!(list(&assembled.tree, "modules.dep"), "a.ko b.ko\n");
    assert_eq!(list(&assembled.tree, "modules.conf"), "override x\n");
    let told = listener.modules.into_inner().unwrap().unwrap();
    assert_eq!((list(&told, "modules.dep"), list(&told, "b.ko")), ("a.ko b.ko\n".into(), "b".into()));
}

fn modules_are_listed_as_scripts_leave_them() {
    let listed = |more: Deb| {
        let world = world("", &[]);
        let depmod = "for file in *.ko; do cat $file >/dev/null || echo \"depmod: ERROR: $file\" >&2; done\n\
            echo *.ko >modules.dep; cat /etc/depmod.d/*.conf >modules.conf";
        let assembled = world.assemble(&[with_modules(depmod), vec![more]].concat()).unwrap();
        let list = |name: &str| text(&assembled.tree, &format!("/usr/lib/modules/6.1/{name}"));
        (list("modules.dep"), list("modules.conf"))
    };
    let (all, config) = ("a.ko b.ko\n".to_owned(), "override x\n".to_owned());
    let stale = Deb::new("stale").file("usr/lib/modules/6.1/modules.dep", "stale\n");
    assert_eq!(listed(stale), (all.clone(), config.clone()));
    let made = Deb::new("made").script("postinst", "echo c >/usr/lib/modules/6.1/c.ko");
    assert_eq!(listed(made), ("a.ko b.ko c.ko\n".into(), config.clone()));
    let gone = Deb::new("gone").script("postinst", "rm /usr/lib/modules/6.1/b.ko");
    assert_eq!(listed(gone), ("a.ko\n".into(), config.clone()));
    let configured = Deb::new("configured").script("postinst", "echo y >/etc/depmod.d/script.conf");
    assert_eq!(listed(configured), (all.clone(), "override x\ny\n".into()));
    // Where the packages with modules alone are, this link leads nowhere; in the image it does not.
    let linked = Deb::new("vendor").symlink("usr/lib/modules/6.1/c.ko", "/usr/lib/os-release");
    assert_eq!(listed(linked), ("a.ko b.ko c.ko\n".into(), config));
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

fn tools_that_make_an_initramfs_find_the_lists() {
    let world = world("", &[]);
    let tool = Deb::new("maker")
        .field("Provides: linux-initramfs-tool")
        .script("postinst", "cat /usr/lib/modules/6.1/modules.dep >/var/lib/found");
    let debs = [with_modules("echo *.ko >modules.dep"), vec![tool]].concat();
    let assembled = world.assemble(&debs).unwrap();
    assert_eq!(text(&assembled.tree, "/var/lib/found"), "a.ko b.ko\n");
}

fn modules_that_cannot_be_listed_are_an_error() {
    // As the real one does where it cannot read a module.
    for depmod in ["echo 'depmod: ERROR: failed to load symbols' >&2", "echo 'no such thing' >&2; exit 3"] {
        let world = world("", &[]);
        match world.assemble(&with_modules(depmod)) {
            Err(AssembleError::Program { program, log, .. }) => {
                assert_eq!(program, "/usr/sbin/depmod 6.1");
                assert!(log.contains("failed to load") || log.contains("no such thing"), "{log}");
            }
            other => panic!("{depmod}: {other:?}"),
        }
        assert!(world.work_is_empty());
    }
}

fn packages_are_decompressed_once() {
    let world = world("", &[]);
    let debs = with_base(varied());
    let keeping = || Unpacked::new(&world.path().join("cache"));
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

/// A package whose script makes a user and a group of its name, with the next free id, and files of theirs.
fn service(name: &str, after: &str) -> Deb {
    let script = format!(
        "next=100; while read -r line; do\n\
         rest=${{line#*:*:}}; [ \"${{rest%%:*}}\" -lt \"$next\" ] || [ \"${{rest%%:*}}\" -gt 499 ] || next=$((${{rest%%:*}} + 1))\n\
         done < /etc/passwd\n\
         echo \"{name}:x:$next:$next::/:/bin/false\" >> /etc/passwd; echo \"{name}:x:$next:\" >> /etc/group\n\
         echo \"{name}:!:19000::::::\" >> /etc/shadow\n\
         mkdir /var/{name}; echo state > /var/{name}/state; chown -R \"$next:$next\" /var/{name}\n\
         chown \"0:$next\" /usr/bin/{name}; chmod 2755 /usr/bin/{name}"
    );
    Deb::new(name)
        .field(&format!("Depends: {after}"))
        .program(&format!("usr/bin/{name}"), "#!/bin/sh\n", 0o755)
        .hard_link(&format!("usr/bin/{name}-too"), &format!("usr/bin/{name}"))
        .script("postinst", &script)
}

fn users_keep_the_ids_that_the_lock_has() {
    let world = world("", &[]);
    let owner = |tree: &Tree, path: &str| {
        let metadata = &node(tree, path).unwrap().metadata;
        (metadata.uid, metadata.gid, metadata.mode)
    };
    // m is configured first: its script gives 100, that of z 101.
    let (first, old) =
        world.assemble_with(&with_base([service("m", "tools"), service("z", "m")]), &Ids::default()).unwrap();
    assert_eq!((old.users["m"], old.users["z"], old.groups["m"], old.groups["z"]), (100, 101, 100, 101));
    // _a is base-files' own, of an id that the script of neither takes.
    assert_eq!(old.users["_a"], 500);
    assert_eq!(owner(&first.tree, "/var/z/state"), (101, 101, 0o644));
    drop(first);
    // One that comes before both, and one less: the others keep theirs, whatever scripts say.
    let (second, new) = world.assemble_with(&with_base([service("a", "tools"), service("z", "a")]), &old).unwrap();
    assert_eq!((new.users["z"], new.users["m"], new.users["a"]), (101, 100, 999));
    assert_eq!(owner(&second.tree, "/var/z/state"), (101, 101, 0o644));
    assert_eq!(owner(&second.tree, "/var/a"), (999, 999, 0o755));
    assert_eq!(owner(&second.tree, "/usr/bin/a"), (0, 999, 0o2755));
    assert_eq!(owner(&second.tree, "/usr/bin/z-too"), (0, 101, 0o2755));
    let passwd = text(&second.tree, "/etc/passwd");
    assert!(passwd.contains("\na:x:999:999:") && passwd.contains("\nz:x:101:101:"), "{passwd}");
    assert!(text(&second.tree, "/etc/group").ends_with("a:x:999:\nz:x:101:\n"));
    let shown = listing(&second.tree);
    drop(second);
    // Alone its script would give 100.
    let (alone, _) = world.assemble_with(&with_base([service("z", "tools")]), &new).unwrap();
    assert_eq!(owner(&alone.tree, "/var/z/state"), (101, 101, 0o644));
    assert_eq!(owner(&alone.tree, "/usr/bin/z"), (0, 101, 0o2755));
    drop(alone);
    // From the lock that this made, the same again.
    let (third, same) = world.assemble_with(&with_base([service("a", "tools"), service("z", "a")]), &new).unwrap();
    assert_eq!((listing(&third.tree), same), (shown, new));
}
