//! A function for each parser of untrusted bytes: it must return for any input, and what it accepts must be valid.
//! `tests/fuzz/fuzz_targets/` passes them to cargo-fuzz, `main.rs` runs them as an ordinary test.

use applbuild::differ;
use applbuild::format::squashfs::{self, Compression, NoCache, Options};
use applbuild::format::tar::{self, Limits};
use applbuild::packages::archive::index::{Admission, Index, Source};
use applbuild::packages::archive::inrelease;
use applbuild::packages::archive::release::Release;
use applbuild::packages::deb::Deb;
use applbuild::packages::{Credentials, Keyring, Lock};
use applbuild::profile::Library;
use applbuild::progress::Silent;
use applbuild::tree::{Kind, Metadata, Node, Tree, TreePath};
use appliance_agent::formats::iso::Volume;
use appliance_contract::guest::GuestConfig;
use appliance_contract::kernel_args::KernelArgs;
use appliance_contract::marker::Marker;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::num::NonZero;
use std::path::Path;
use std::sync::LazyLock;

/// Small, so that no input fills the disk.
const LIMITS: Limits = Limits { entries: 1000, file: 1 << 20, total: 4 << 20, extension: 1 << 16 };

/// A target by its name, which is also its corpus's name.
pub type Target = (&'static str, fn(&[u8]));

/// The directory with a target's seeds has the target's name.
pub const ALL: &[Target] = &[
    ("auth", auth),
    ("deb", deb),
    ("differ", differ),
    ("guest", guest),
    ("inrelease", signed_release),
    ("iso", iso),
    ("keyring", keyring),
    ("kernel_args", kernel_args),
    ("lock", lock),
    ("marker", marker),
    ("packages", packages),
    ("profile", profile),
    ("release", release),
    ("squashfs", squashfs_image),
    ("tar", tar_set),
];

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// A package: ar with compressed archives.
pub fn deb(data: &[u8]) {
    let folder = folder();
    let path = folder.path().join("x.deb");
    fs::write(&path, data).expect("a temporary file can be written");
    if let Ok(deb) = Deb::open(&path) {
        let _ = deb.control();
        if let Ok(data) = deb.data() {
            let _ = tar::load_into(&mut Tree::new(Metadata::new(0o755)), data, &folder.path().join("spill"), LIMITS);
        }
    }
}

/// A tar set, read into a tree: every path stays below its root.
pub fn tar_set(data: &[u8]) {
    let folder = folder();
    let mut tree = Tree::new(Metadata::new(0o755));
    if tar::load_into(&mut tree, data, &folder.path().join("spill"), LIMITS).is_ok() {
        for (path, _) in tree.walk() {
            assert!(path.names().all(|name| !matches!(name, b"" | b"." | b"..")), "{path}");
        }
    }
}

/// A signed Release file. The corpus has none of Debian's keys: nothing may be accepted.
pub fn signed_release(data: &[u8]) {
    static KEYRING: LazyLock<Keyring> = LazyLock::new(|| Keyring::debian().expect("the keys carried can be read"));
    assert!(inrelease::verify(data, &KEYRING, 1_790_000_000).is_err());
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Release::parse(text, 0);
    }
}

/// A Release file whose signature is in another: what is before the last empty line, which signs what is behind it.
pub fn release(data: &[u8]) {
    static KEYRING: LazyLock<Keyring> = LazyLock::new(|| Keyring::debian().expect("the keys carried can be read"));
    let at = data.windows(2).rposition(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (signature, text) = data.split_at(at);
    assert!(inrelease::verify_detached(text, signature, &KEYRING, 1_790_000_000).is_err());
    if let Ok(release) = Release::parse(&String::from_utf8_lossy(text), 0) {
        let _ = release.check_suite("trixie/updates");
    }
}

/// A key file, as a vendor gives it.
pub fn keyring(data: &[u8]) {
    match Keyring::parse("fuzz", data) {
        Ok(keyring) => assert!(!keyring.fingerprints().is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Logins: none is for a host that the file does not name.
pub fn auth(data: &[u8]) {
    let credentials = Credentials::parse(data);
    let _ = format!("{credentials:?}");
}

pub fn packages(data: &[u8]) {
    let source =
        Source { archive: "debian", suite: "trixie", automatic: true, packages: data, admission: Admission::All };
    let index = Index::read(&[source], "amd64");
    for id in index.ids() {
        assert!(index.versions(index.record(id).name).contains(&id));
    }
    index.all_ignored().for_each(|ignored| assert!(!ignored.to_string().is_empty()));
}

/// A lock that is accepted is the same after it is written and read again.
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
    fs::create_dir(&profiles)
        .and_then(|()| fs::write(profiles.join("fuzz.toml"), data))
        .expect("a temporary file can be written");
    // Errors quote the source line: rendering them must not fail either.
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

/// What is accepted is the same after it is written and read again.
pub fn kernel_args(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(args) = KernelArgs::parse(text) {
        assert_eq!(KernelArgs::parse(&args.to_string()), Ok(args));
    }
}

/// A file that is found is within the volume.
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

/// Compares an image with a copy that differs in its last byte: both are opened as far as possible.
pub fn differ(data: &[u8]) {
    let folder = folder();
    let mut other = data.to_vec();
    if let Some(last) = other.last_mut() {
        *last ^= 1;
    }
    let paths = ["one", "other"].map(|name| folder.path().join(name));
    for (path, bytes) in paths.iter().zip([data, &other]) {
        fs::write(path, bytes).expect("a temporary file can be written");
    }
    if let Ok(found) = differ::compare(&paths[0], &paths[1]) {
        assert_eq!(found.is_none(), data.is_empty());
    }
}

/// What is written is read back, and does not depend on the number of threads.
pub fn squashfs_image(data: &[u8]) {
    let tree = tree_of(data);
    let folder = folder();
    let paths = ["one", "other"].map(|name| folder.path().join(name));
    for (path, threads) in paths.iter().zip([1, 3]) {
        write_squashfs(&tree, threads, path);
    }
    assert_eq!(differ::compare(&paths[0], &paths[1]).expect("what was written can be read"), None);
    let mut expected = BTreeMap::new();
    for (path, id) in tree.walk() {
        if let Kind::File(content) = &tree.node(id).kind {
            expected.insert(path.to_bytes(), content.read().expect("it is in memory"));
        }
    }
    let found = differ::files(&paths[0]).expect("what was written can be read").expect("it is a squashfs");
    assert_eq!(found.len(), expected.len());
    for (path, content) in found {
        assert_eq!(expected.get(&path), Some(&content.read().expect("it is in memory")), "{path:?}");
    }
}

pub fn write_squashfs(tree: &Tree, threads: usize, path: &Path) {
    let options = Options {
        compression: Compression::Zstd { level: 1 },
        block_size: 128 << 10,
        threads: NonZero::new(threads).expect("one or three"),
        time: 1_700_000_000,
    };
    let mut file = File::create(path).expect("a temporary file can be made");
    squashfs::write(tree, &options, &NoCache, &mut file, &Silent).expect("any such tree can be written");
}

/// A tree described by the bytes, six for each node: its kind, name, directory, length and content.
pub fn tree_of(data: &[u8]) -> Tree {
    let mut tree = Tree::new(Metadata::new(0o755));
    let mut made = Vec::new();
    for node in data.chunks_exact(6).take(200) {
        let &[kind, name, folder, low, high, filling] = node else { continue };
        let path = match folder % 4 {
            0 => format!("/{name:x}"),
            depth => format!("/{}/{name:x}", vec!["d"; depth.into()].join("/")),
        };
        let path = TreePath::parse(path).expect("digits and letters");
        // Up to half a mebibyte: some blocks and a fragment.
        let length = 8 * usize::from(u16::from_le_bytes([low, high]));
        let metadata =
            Metadata::new(0o700 | u16::from(filling)).with_owner(name.into(), folder.into()).with_mtime(low.into());
        let made_now = match kind % 6 {
            // Zeros, text, and barely compressible bytes.
            0..=2 => {
                let byte = |place: usize| match kind % 6 {
                    0 => 0,
                    1 => b'a' + (place % usize::from(filling % 23 + 1)) as u8,
                    _ => (place.wrapping_mul(0x9e37_79b9).rotate_left(filling.into()) >> 13) as u8,
                };
                let content: Vec<u8> = (0..length).map(byte).collect();
                tree.insert(&path, Node::file(metadata, content.into()))
            }
            3 => tree.insert(&path, Node::directory(metadata)),
            4 => tree.insert(&path, Node::symlink(format!("../{filling}"), low.into())),
            _ => {
                let earlier = made.get(usize::from(filling) % made.len().max(1)).copied();
                // A path that is a directory above its target is not linked.
                let _ = earlier.filter(|_| tree.lookup(&path).is_none()).map(|id| tree.link(&path, id));
                continue;
            }
        };
        // A parent may be a file.
        if let Ok(id) = made_now
            && !matches!(tree.node(id).kind, Kind::Directory(_))
        {
            made.push(id);
        }
    }
    tree
}
