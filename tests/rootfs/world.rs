//! A profile in a directory of its own, and what the tests read from the trees that come of it.

use applbuild::packages::Ids;
use applbuild::profile::{Library, Profile};
use applbuild::progress::Silent;
use applbuild::rootfs::{Ahead, AssembleError, Assembled, Request, WorkFolder, configure};
use applbuild::tree::{Kind, Node, Tree, TreePath};
use applbuild::util::sha256;
use applbuild_test_support::debs::{Deb, base, lock};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tempfile::TempDir;

pub const EPOCH: i64 = 1_600_000_000;

/// A profile in a folder of its own, with overlay files.
pub struct World {
    pub folder: TempDir,
    pub profile: Profile,
}

pub fn world(toml: &str, files: &[(&str, &str)]) -> World {
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
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn assemble(&self, debs: &[Deb]) -> Result<Assembled, AssembleError> {
        self.assemble_with(debs, &Ids::default()).map(|(assembled, _)| assembled)
    }

    /// With the ids that an older lock has; also those that the new one gets.
    pub fn assemble_with(&self, debs: &[Deb], kept: &Ids) -> Result<(Assembled, Ids), AssembleError> {
        let work = WorkFolder::new(&self.path().join("work")).unwrap();
        self.assemble_in(work, debs, kept)
    }

    /// Takes the configured root that was kept, or keeps it.
    pub fn assemble_keeping(&self, debs: &[Deb]) -> Assembled {
        let work = WorkFolder::new(&self.path().join("work")).unwrap().keeping_trees(self.path().join("trees"));
        self.assemble_in(work, debs, &Ids::default()).unwrap_or_else(|error| panic!("{error}")).0
    }

    /// The roots that are kept.
    pub fn kept(&self) -> Vec<PathBuf> {
        fs::read_dir(self.path().join("trees")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    pub fn assemble_in(&self, work: WorkFolder, debs: &[Deb], kept: &Ids) -> Result<(Assembled, Ids), AssembleError> {
        let (mut lock, files) = lock(debs, &self.path().join("debs"));
        lock.ids = kept.clone();
        let others = Ids::default();
        let request = Request { profile: &self.profile, lock: &lock, files: &files, others: &others, ahead: &() };
        let configured = configure(&request, work, &Silent)?;
        lock.ids = configured.ids.clone();
        Ok((configured.assemble(&self.profile, &lock, "1-2")?, lock.ids))
    }

    pub fn work_is_empty(&self) -> bool {
        fs::read_dir(self.path().join("work")).unwrap().next().is_none()
    }
}

pub fn with_base(debs: impl IntoIterator<Item = Deb>) -> Vec<Deb> {
    base().into_iter().chain(debs).collect()
}

pub fn node<'a>(tree: &'a Tree, path: &str) -> Option<&'a Node> {
    tree.get(&TreePath::parse(path).unwrap())
}

pub fn text(tree: &Tree, path: &str) -> String {
    match node(tree, path).map(|node| &node.kind) {
        Some(Kind::File(content)) => String::from_utf8(content.read().unwrap()).unwrap(),
        other => panic!("{path}: found {other:?}"),
    }
}

pub fn link(tree: &Tree, path: &str) -> String {
    match node(tree, path).map(|node| &node.kind) {
        Some(Kind::Symlink(target)) => String::from_utf8(target.clone()).unwrap(),
        other => panic!("{path}: found {other:?}"),
    }
}

/// Packages with all that dpkg has to do.
pub fn varied() -> Vec<Deb> {
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

/// All of a tree, in a text.
pub fn listing(tree: &Tree) -> String {
    tree.walk()
        .map(|(path, id)| {
            let Node { metadata, kind } = tree.node(id);
            let kind = match kind {
                Kind::Directory(_) => "directory".to_owned(),
                Kind::File(content) => sha256::of(content.read().unwrap()).to_string(),
                other => format!("{other:?}"),
            };
            format!("{path} {metadata:?} {kind}\n")
        })
        .collect()
}

/// Keeps what it is told.
#[derive(Debug, Default)]
pub struct Listener {
    pub unpacked: Mutex<Option<Tree>>,
    pub modules: Mutex<Option<Tree>>,
}

impl Ahead for Listener {
    fn unpacked(&self, tree: Tree) {
        *self.unpacked.lock().unwrap() = Some(tree);
    }

    fn modules_listed(&self, tree: Tree) {
        *self.modules.lock().unwrap() = Some(tree);
    }
}
