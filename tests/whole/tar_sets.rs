//! Systems that come as tar sets, by the program itself: hostile sets leave no image, and nothing outside the cache.

use crate::mirror::{Archive, Mirror, TODAY};
use crate::place::{Place, all};
use crate::sets;
use applbuild::util::sha256;
use std::fs;
use std::path::PathBuf;

const PROFILE: &str = "kind = \"host\"\nversion = \"1\"\nagent = false\nsuites = [\"debian/trixie\"]\n\
    components = [\"main\"]\n[boot]\nkernel = \"/netbsd\"\nprotocol = \"multiboot\"\n[root]\nformat = \"plain\"\n";

/// Writes the sets and a profile of theirs.
fn write(place: &Place, archives: &[Vec<u8>]) {
    let mut text = PROFILE.to_owned();
    for (number, bytes) in archives.iter().enumerate() {
        fs::write(place.at(&format!("profiles/set{number}.tar")), bytes).unwrap();
        text += &format!("[[sets]]\nfile = \"set{number}.tar\"\nsha256 = \"{}\"\n", sha256::of(bytes));
    }
    fs::write(place.at("profiles/sets.toml"), text).unwrap();
}

/// What is there besides the cache and the lock.
fn outside(place: &Place) -> Vec<PathBuf> {
    let mut paths = all(place.folder());
    paths.retain(|path| !path.starts_with(place.at("cache")) && *path != place.at("profiles/sets.lock"));
    paths.sort();
    paths
}

#[test]
fn hostile_sets_leave_no_image_and_nothing_outside() {
    let mirror = Mirror::start(Archive::new(TODAY, &[]));
    let (place, url) = (Place::new(), mirror.url());
    let iso = || {
        let common = ["iso", "--profile", "sets", "--keyring", "keyring.pgp", "--mirror", &url, "--json"];
        let output = place.run(&common).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    write(&place, &[sets::archive(&["etc/", "etc/rc = x", "netbsd = kernel"])]);
    let (code, said) = iso();
    assert_eq!(code, Some(0), "{said}");
    let image = place.sum("images/sets-1.iso");
    fs::write(place.at("profiles/set1.tar"), "").unwrap();
    let before = outside(&place);
    for (case, archives, words) in sets::hostile() {
        write(&place, &archives);
        let (code, said) = iso();
        assert_eq!(code, Some(3), "{case}: {said}");
        let error = said.lines().last().unwrap_or_default().replace("\\\"", "\"");
        assert!(error.contains(words) && error.contains("sets.toml:"), "{case}: {error}: expected {words}");
        assert_eq!(outside(&place), before, "{case}");
    }
    assert_eq!(place.sum("images/sets-1.iso"), image);
    assert!(!std::path::Path::new("/escaped").exists());
}
