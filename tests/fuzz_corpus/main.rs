//! The fuzz targets without a fuzzer: every seed, and what a few hundred steps of damage make of it, the same each time.

mod targets;

use applbuild_test_support::squashfs as judge;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

const MUTATIONS: u64 = 300;

/// Numbers that are much alike for every use and never depend on the machine: xorshift64 (Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// One to four changes: a bit, a byte at an edge, a cut, a piece twice, a piece gone, a length that lies.
fn damage(seed: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = numbers.below(bytes.len());
        let length = numbers.below(64).min(bytes.len() - at);
        match numbers.below(6) {
            0 => bytes[at] ^= 1 << numbers.below(8),
            1 => bytes[at] = [0, 0x7f, 0x80, 0xff, b'\n', b'"'][numbers.below(6)],
            2 => bytes.truncate(at),
            3 => {
                let piece = bytes[at..at + length].to_vec();
                let to = numbers.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            4 => drop(bytes.drain(at..at + length)),
            _ => bytes[at..at + length.min(8)].fill(0xff),
        }
    }
    bytes
}

#[test]
fn no_seed_and_no_damage_to_it_breaks_a_target() {
    for (name, target) in targets::ALL {
        let folder = Path::new("tests/fuzz/corpus").join(name);
        let mut seeds: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        seeds.sort();
        assert!(!seeds.is_empty(), "{} holds no seed", folder.display());
        for path in seeds {
            let seed = fs::read(&path).unwrap();
            target(&seed);
            let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
            for step in 0..MUTATIONS {
                let bytes = damage(&seed, &mut numbers);
                if catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_err() {
                    let kept = std::env::temp_dir().join(format!("applbuild-fuzz-{name}"));
                    fs::write(&kept, &bytes).unwrap();
                    panic!("{name}: step {step} from {} breaks it; kept as {}", path.display(), kept.display());
                }
            }
        }
    }
}

/// A seed that is refused at its first byte would test nothing.
#[test]
fn the_seeds_are_taken() {
    let seed = |path: &str| {
        let folder = Path::new("tests/fuzz/corpus");
        fs::read_to_string(folder.join(path)).unwrap()
    };
    appliance_contract::guest::GuestConfig::parse(&seed("guest/full")).unwrap();
    appliance_contract::kernel_args::KernelArgs::parse(&seed("kernel_args/all")).unwrap();
    appliance_contract::marker::Marker::parse(&seed("marker/full")).unwrap();
    applbuild::packages::Lock::parse(&seed("lock/two")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("profiles")).unwrap();
    for name in ["small", "extends"] {
        fs::write(folder.path().join("profiles/seed.toml"), seed(&format!("profile/{name}"))).unwrap();
        applbuild::profile::Library::new(folder.path()).load("seed").unwrap();
    }
    for name in ["gz", "plain", "xz"] {
        let path = Path::new("tests/fuzz/corpus/deb").join(name);
        assert!(applbuild::packages::deb::Deb::open(&path).unwrap().control().unwrap().contains_key("control"));
    }
    for (name, files) in [("cpio", 4), ("cpio-gz", 4), ("iso", 4), ("squashfs-gzip", 4), ("squashfs-zstd", 4)] {
        let path = Path::new("tests/fuzz/corpus/differ").join(name);
        let found = applbuild::differ::files(&path).unwrap().unwrap();
        assert_eq!(found.len(), files, "{name}: {found:?}");
        let one = found.iter().find(|(path, _)| path.ends_with(b"a")).map(|(_, content)| content.read().unwrap());
        assert!(one.is_some(), "{name}");
    }
    let iso = fs::read("tests/fuzz/corpus/iso/rock-ridge").unwrap();
    appliance_agent::formats::iso::Volume::open(&iso).unwrap().find("/deep/er/a-long-name-of-rock-ridge.txt").unwrap();
}

/// unsquashfs finds in an image of a seed's tree what went in.
#[test]
fn another_reader_judges_the_seeds_of_squashfs() {
    for name in ["links", "mixed"] {
        let path = Path::new("tests/fuzz/corpus/squashfs").join(name);
        let tree = targets::tree_of(&fs::read(&path).unwrap());
        let folder = judge::folder();
        let image = folder.path().join("image");
        targets::write_squashfs(&tree, 2, &image);
        judge::compare(&tree, &image);
    }
}
