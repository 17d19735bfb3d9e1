//! Systems that are not made of packages: tar sets.

use crate::world::{World, node, text, world};
use applbuild::rootfs::Assembled;
use applbuild::tree::Kind;
use applbuild::util::sha256;
use applbuild_test_support::debs::Deb;
use applbuild_test_support::namespace::{Test, tests};
use applbuild_test_support::tar_sets as sets;
use appliance_contract::causes::WithCauses as _;
use std::fs;
use std::path::Path;

pub const TESTS: &[Test] = tests![sets_are_taken_as_they_are, hostile_sets_are_refused_by_name, odd_sets_are_taken,];

fn sets_are_taken_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let set = |name: &str, deb: &Deb| {
        let bytes = zstd::encode_all(deb.tar().as_slice(), 1).unwrap();
        fs::write(folder.path().join(name), &bytes).unwrap();
        sha256::of(&bytes).to_string()
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
        toml += &format!("[[sets]]\nfile = \"{}\"\nsha256 = \"{}\"\n", path.display(), sha256::of(bytes));
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
