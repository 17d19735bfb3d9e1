//! Builds on disks that fill up: each says so, leaves nothing half made, and does no harm to the next one.

// A test that is not registered does not compile.
#![deny(dead_code)]

use applbuild_test_support::mirror::{Archive, Mirror, TODAY, package, with_user};
use applbuild_test_support::namespace::{self, Test, tests};
use applbuild_test_support::project::Project;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

const TESTS: &[Test] = tests![a_disk_that_is_full_at_any_moment, a_cache_that_is_full];

fn main() -> ExitCode {
    namespace::main(&[TESTS])
}

fn start() -> (Mirror, Project, String) {
    let mirror = Mirror::start(Archive::new(TODAY, &[with_user("hello", "1.0"), package("world", "1.0")]));
    let reference = Project::new();
    reference.make("iso", &mirror.url(), &[]).assert().success();
    let sum = reference.sum("images/tiny-1.iso");
    (mirror, Project::new(), sum)
}

/// A file system in memory, of so many KiB; on one that is there already, its size changes.
fn disk(at: &Path, size: u64, flags: MsFlags) {
    fs::create_dir_all(at).unwrap();
    let options = format!("size={size}k,mode=755");
    mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some(options.as_str())).unwrap();
}

/// Fails for want of room and then, with room enough, gives the right bytes; false where `size` is enough.
fn fails_then_works(project: &Project, mirror: &Mirror, folder: &str, size: u64, sum: &str) -> bool {
    let at = project.at(folder);
    for gone in ["images", "cache"] {
        let _ = fs::remove_dir_all(project.at(gone));
    }
    disk(&at, size, MsFlags::empty());
    let build = |flags: &[&str]| project.make("iso", &mirror.url(), flags);
    let output = build(&[]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    let failed = !output.status.success();
    if failed {
        assert_eq!(output.status.code(), Some(1), "{size} KiB: {said}");
        // dpkg, too, may be what finds no room: it names the file by its place in the image.
        let named = said.contains(&format!("{folder}/")) || said.contains("in the image failed");
        assert!(said.contains("No space left on device") && named, "{size} KiB: {said}");
        assert!(!project.at("images/tiny-1.iso").exists(), "{size} KiB");
        disk(&at, 1 << 20, MsFlags::MS_REMOUNT);
        build(&[]).assert().success();
    }
    assert_eq!(project.sum("images/tiny-1.iso"), sum, "{size} KiB");
    for (folder, prefix) in [("images", ".new-"), ("images/.work", "build-"), ("cache", ".new-"), ("cache", "build-")] {
        assert!(project.named(folder, prefix).is_empty(), "{size} KiB: {folder}");
    }
    umount2(&at, MntFlags::MNT_DETACH).unwrap();
    failed
}

fn a_disk_that_is_full_at_any_moment() {
    let (mirror, project, sum) = start();
    let failed = (0..12).filter(|step| fails_then_works(&project, &mirror, "images", 64 + step * 3000, &sum)).count();
    assert!((2..12).contains(&failed), "{failed}");
}

fn a_cache_that_is_full() {
    let (mirror, project, sum) = start();
    let failed = (0..8).filter(|step| fails_then_works(&project, &mirror, "cache", 64 + step * 2500, &sum)).count();
    assert!((2..8).contains(&failed), "{failed}");
}
