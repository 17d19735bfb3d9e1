//! Builds on disks that fill up: each says so, leaves nothing half made, and does no harm to the next one.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "inside/debs.rs"]
mod debs;
#[path = "inside/mod.rs"]
mod inside;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "whole/mirror.rs"]
mod mirror;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "whole/place.rs"]
mod place;
#[allow(dead_code, reason = "unit tests use the rest")]
#[path = "../src/packages/test_keys.rs"]
mod test_keys;
#[allow(dead_code, reason = "unit tests use the rest")]
#[path = "../src/packages/test_server.rs"]
mod test_server;

/// Where test_keys.rs looks for it.
use applbuild::packages::keyring;
use mirror::{Archive, Mirror, TODAY, package, with_user};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use place::Place;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    inside::main(&[
        ("a_disk_that_is_full_at_any_moment", a_disk_that_is_full_at_any_moment),
        ("a_cache_that_is_full", a_cache_that_is_full),
    ])
}

fn start() -> (Mirror, Place, String) {
    let mirror = Mirror::start(Archive::new(TODAY, &[with_user("hello", "1.0"), package("world", "1.0")]));
    let reference = Place::new();
    reference.make("iso", &mirror.url(), &[]).assert().success();
    let sum = reference.sum("images/tiny-1.iso");
    (mirror, Place::new(), sum)
}

/// A file system in memory, of so many KiB; on one that is there already, its size changes.
fn disk(at: &Path, size: u64, flags: MsFlags) {
    fs::create_dir_all(at).unwrap();
    let options = format!("size={size}k,mode=755");
    mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some(options.as_str())).unwrap();
}

/// Fails for want of room and then, with room enough, gives the right bytes; false where `size` is enough.
fn fails_then_works(place: &Place, mirror: &Mirror, folder: &str, size: u64, sum: &str) -> bool {
    let at = place.at(folder);
    for gone in ["images", "cache"] {
        let _ = fs::remove_dir_all(place.at(gone));
    }
    disk(&at, size, MsFlags::empty());
    let build = |flags: &[&str]| place.make("iso", &mirror.url(), flags);
    let output = build(&[]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    let failed = !output.status.success();
    if failed {
        assert_eq!(output.status.code(), Some(1), "{size} KiB: {said}");
        // dpkg, too, may be what finds no room: it names the file by its place in the image.
        let named = said.contains(&format!("{folder}/")) || said.contains("in the image failed");
        assert!(said.contains("No space left on device") && named, "{size} KiB: {said}");
        assert!(!place.at("images/tiny-1.iso").exists(), "{size} KiB");
        disk(&at, 1 << 20, MsFlags::MS_REMOUNT);
        build(&[]).assert().success();
    }
    assert_eq!(place.sum("images/tiny-1.iso"), sum, "{size} KiB");
    for (folder, prefix) in [("images", ".new-"), ("images/.work", "build-"), ("cache", ".new-"), ("cache", "build-")] {
        assert!(place.named(folder, prefix).is_empty(), "{size} KiB: {folder}");
    }
    umount2(&at, MntFlags::MNT_DETACH).unwrap();
    failed
}

fn a_disk_that_is_full_at_any_moment() {
    let (mirror, place, sum) = start();
    let failed = (0..12).filter(|step| fails_then_works(&place, &mirror, "images", 64 + step * 3000, &sum)).count();
    assert!((2..12).contains(&failed), "{failed}");
}

fn a_cache_that_is_full() {
    let (mirror, place, sum) = start();
    let failed = (0..8).filter(|step| fails_then_works(&place, &mirror, "cache", 64 + step * 2500, &sum)).count();
    assert!((2..8).contains(&failed), "{failed}");
}
