//! What reads bytes of strangers, a function each: whatever the bytes are, it
//! returns, and what it accepts keeps its promises. `fuzz_targets/` gives them
//! to cargo-fuzz, `tests/fuzz_corpus.rs` to an ordinary test.

use applbuild::format::tar::{self, Limits};
use applbuild::packages::deb::Deb;
use applbuild::packages::index::{Index, Source};
use applbuild::packages::release::Release;
use applbuild::packages::{Keyring, Lock, inrelease};
use applbuild::profile::Library;
use applbuild::tree::{Metadata, Tree};
use appliance_agent::iso::Volume;
use appliance_contract::guest::GuestConfig;
use appliance_contract::kernel_args::KernelArgs;
use appliance_contract::marker::Marker;
use std::sync::LazyLock;

/// Small, so that no input fills a disk.
const LIMITS: Limits = Limits { entries: 1000, file: 1 << 20, total: 4 << 20, extension: 1 << 16 };

/// A target by its name, which is also its corpus's.
pub type Target = (&'static str, fn(&[u8]));

/// The folder with seeds for a target has its name.
pub const ALL: &[Target] = &[
    ("deb", deb),
    ("guest", guest),
    ("inrelease", signed_release),
    ("iso", iso),
    ("kernel_args", kernel_args),
    ("lock", lock),
    ("marker", marker),
    ("packages", packages),
    ("profile", profile),
    ("tar", tar_set),
];

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// A package: ar, then its compressed archives.
pub fn deb(data: &[u8]) {
    let folder = folder();
    let path = folder.path().join("x.deb");
    std::fs::write(&path, data).expect("a temporary file can be written");
    if let Ok(deb) = Deb::open(&path) {
        let _ = deb.control();
        if let Ok(data) = deb.data() {
            let _ = tar::load_into(&mut Tree::new(Metadata::new(0o755)), data, &folder.path().join("spill"), LIMITS);
        }
    }
}

/// A tar set, into a tree: every path that comes out stays below its root.
pub fn tar_set(data: &[u8]) {
    let folder = folder();
    let mut tree = Tree::new(Metadata::new(0o755));
    if tar::load_into(&mut tree, data, &folder.path().join("spill"), LIMITS).is_ok() {
        for (path, _) in tree.walk() {
            assert!(path.names().all(|name| !matches!(name, b"" | b"." | b"..")), "{path}");
        }
    }
}

/// A signed Release file. No key of the corpus is Debian's: nothing may pass.
pub fn signed_release(data: &[u8]) {
    static KEYRING: LazyLock<Keyring> = LazyLock::new(|| Keyring::debian().expect("the keys carried can be read"));
    assert!(inrelease::verify(data, &KEYRING, 1_790_000_000).is_err());
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Release::parse(text);
    }
}

pub fn packages(data: &[u8]) {
    let source = Source { archive: "debian", suite: "trixie", automatic: true, packages: data };
    if let Ok(index) = Index::read(&[source], "amd64") {
        for id in index.ids() {
            assert!(index.versions(index.record(id).name).contains(&id));
        }
    }
}

/// A lock that is taken is written as it would be read again.
pub fn lock(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(lock) = Lock::parse(text) {
        let again = lock.render().expect("what was read can be written");
        assert_eq!(Lock::parse(&again).expect("what was written can be read"), lock);
    }
}

pub fn profile(data: &[u8]) {
    let folder = folder();
    let profiles = folder.path().join("profiles");
    std::fs::create_dir(&profiles)
        .and_then(|()| std::fs::write(profiles.join("fuzz.toml"), data))
        .expect("a temporary file can be written");
    // Its errors draw the place: that must not fail either.
    if let Err(error) = Library::new(folder.path()).load("fuzz") {
        let _ = format!("{:?}", miette::Report::new(error));
    }
}

pub fn marker(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Marker::parse(text).map_err(|error| error.to_string());
}

pub fn guest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = GuestConfig::parse(text).map_err(|error| error.to_string());
}

/// What is taken says the same when it is written and read again.
pub fn kernel_args(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(args) = KernelArgs::parse(text) {
        assert_eq!(KernelArgs::parse(&args.to_string()), Ok(args));
    }
}

/// A file that is found lies within the volume.
pub fn iso(data: &[u8]) {
    let device = data.to_vec();
    let Ok(volume) = Volume::open(&device) else { return };
    for path in ["/appliance/root.squashfs", "/deep/er/a-long-name-of-rock-ridge.txt", "/no/such"] {
        if let Ok(range) = volume.find(path) {
            let end = range.offset.checked_add(range.length);
            assert!(end.is_some_and(|end| end <= data.len() as u64), "{path}: {range:?}");
        }
    }
}
