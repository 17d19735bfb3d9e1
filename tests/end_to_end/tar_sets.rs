//! Systems from tar sets, built by the whole program: hostile sets leave no image, and nothing outside the cache.

use applbuild::util::sha256;
use applbuild_test_support::mirror::{Archive, Mirror, TODAY};
use applbuild_test_support::project::{Project, all};
use applbuild_test_support::tar_sets;
use std::fs;
use std::path::PathBuf;

const PROFILE: &str = "kind = \"host\"\nversion = \"1\"\nagent = false\nsuites = [\"debian/trixie\"]\n\
    components = [\"main\"]\n[boot]\nkernel = \"/netbsd\"\nprotocol = \"multiboot\"\n[root]\nformat = \"plain\"\n";

/// Writes the sets and a profile that uses them.
fn write(project: &Project, archives: &[Vec<u8>]) {
    let mut text = PROFILE.to_owned();
    for (number, bytes) in archives.iter().enumerate() {
        fs::write(project.at(&format!("profiles/set{number}.tar")), bytes).unwrap();
        text += &format!("[[sets]]\nfile = \"set{number}.tar\"\nsha256 = \"{}\"\n", sha256::of(bytes));
    }
    fs::write(project.at("profiles/sets.toml"), text).unwrap();
}

/// All files except the cache and the lock.
fn outside(project: &Project) -> Vec<PathBuf> {
    let mut paths = all(project.folder());
    paths.retain(|path| !path.starts_with(project.at("cache")) && *path != project.at("profiles/sets.lock"));
    paths.sort();
    paths
}

#[test]
fn hostile_sets_leave_no_image_and_nothing_outside() {
    let mirror = Mirror::start(Archive::new(TODAY, &[]));
    let (project, url) = (Project::new(), mirror.url());
    let iso = || {
        let common = ["iso", "--profile", "sets", "--keyring", "keyring.pgp", "--mirror", &url, "--json"];
        let output = project.run(&common).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    write(&project, &[tar_sets::archive(&["etc/", "etc/rc = x", "netbsd = kernel"])]);
    let (code, said) = iso();
    assert_eq!(code, Some(0), "{said}");
    let image = project.sum("images/sets-1.iso");
    fs::write(project.at("profiles/set1.tar"), "").unwrap();
    let before = outside(&project);
    for (case, archives, words) in tar_sets::hostile() {
        write(&project, &archives);
        let (code, said) = iso();
        assert_eq!(code, Some(3), "{case}: {said}");
        let error = said.lines().last().unwrap_or_default().replace("\\\"", "\"");
        assert!(error.contains(words) && error.contains("sets.toml:"), "{case}: {error}: expected {words}");
        assert_eq!(outside(&project), before, "{case}");
    }
    assert_eq!(project.sum("images/sets-1.iso"), image);
    assert!(!std::path::Path::new("/escaped").exists());
}
