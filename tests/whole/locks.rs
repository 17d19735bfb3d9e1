//! A lock through its life: made, built from, kept while the archive moves on, updated, built from without a mirror.

use crate::mirror::{Archive, Mirror, TODAY, TOMORROW, YESTERDAY, package, pool, with_user};
use crate::place::Place;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use std::fs;

const ISO: &str = "images/tiny-1.iso";
/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:1/debian";

/// What the archive has on its first day and on its second.
fn first_day() -> Archive {
    Archive::new(YESTERDAY, &[with_user("hello", "1.0"), package("world", "1.0")])
}

fn second_day(mirror: &Mirror) {
    mirror.change(|archive| archive.publish(TODAY, &[with_user("hello", "1.1"), package("world", "1.1")]));
}

/// The version of a package in a lock's text.
fn version(lock: &str, name: &str) -> String {
    let table = lock.split("[[").find(|table| table.contains(&format!("name = \"{name}\"\n")));
    let table = table.unwrap_or_else(|| panic!("no {name} in {lock}"));
    table.lines().find_map(|line| line.strip_prefix("version = ")).unwrap().trim_matches('"').to_owned()
}

#[test]
fn a_lock_holds_while_the_archive_moves_on() {
    let mirror = Mirror::start(first_day());
    let (place, url) = (Place::new(), mirror.url());
    place
        .make("iso", &url, &["--locked"])
        .assert()
        .code(3)
        .stderr(contains("tiny.lock").and(contains("is not there")).and(contains("applbuild lock --profile tiny")));
    place.make("lock", &url, &[]).assert().success().stdout(contains("tiny.lock: made"));
    let first = place.lock();
    assert_eq!((version(&first, "hello"), version(&first, "world")), ("1.0".into(), "1.0".into()));
    assert!(first.contains("_hello"), "{first}");
    place.make("lock", &url, &[]).assert().success().stdout(contains("is up to date"));
    place.make("iso", &url, &["--locked"]).assert().success().stdout(contains(ISO));
    let image = place.sum(ISO);

    second_day(&mirror);
    place.make("iso", &url, &[]).assert().success().stdout(contains("was there already"));
    place.make("iso", &url, &["--output", "again"]).assert().success();
    assert_eq!((place.lock(), place.sum("again/tiny-1.iso")), (first.clone(), image.clone()));
    fs::write(place.at("first.lock"), &first).unwrap();

    let update = |more: &[&str]| place.make("lock", &url, &[&["--update"], more].concat()).assert();
    update(&["helo"]).code(3).stderr(contains("did you mean hello?"));
    update(&["hello"]).success().stdout(contains("package hello: upgraded 1.0 to 1.1").and(contains("world").not()));
    let second = place.lock();
    assert_eq!((version(&second, "hello"), version(&second, "world")), ("1.1".into(), "1.0".into()));
    update(&[]).success().stdout(contains("package world: upgraded 1.0 to 1.1").and(contains("hello").not()));
    let diff = place.run(&["lock", "diff", "first.lock", "profiles/tiny.lock"]).assert().success();
    let expected = "  package hello: upgraded 1.0 to 1.1\n  package world: upgraded 1.0 to 1.1\n";
    diff.stdout(
        contains(expected).and(contains("suite debian/trixie: from 2023-11-23 20:00 UTC to 2023-11-24 20:00 UTC")),
    );
    // Other packages, another image.
    place.make("iso", &url, &["--locked"]).assert().success().stdout(contains("tiny-1-2.iso"));
    assert_ne!(place.sum("images/tiny-1-2.iso"), image);
    // The ids of users are for ever.
    let ids = |lock: &str| lock[lock.find("[ids").unwrap()..lock.find("[[packages").unwrap()].to_owned();
    assert_eq!(ids(&place.lock()), ids(&first));
}

#[test]
fn a_lock_needs_no_mirror() {
    let mirror = Mirror::start(first_day());
    let (place, url) = (Place::new(), mirror.url());
    place.make("iso", &url, &[]).assert().success().stdout(contains("tiny.lock: made"));
    let image = place.sum(ISO);
    fs::copy(place.at("profiles/tiny.lock"), place.at("first.lock")).unwrap();
    let again = |output: &str, url: &str, more: &[&str]| {
        place.make("iso", url, &[&["--output", output, "--lock", "first.lock"], more].concat()).assert()
    };
    again("offline", NOWHERE, &["--offline"]).success();
    again("none", NOWHERE, &["--offline", "--cache", "none"])
        .code(1)
        .stderr(contains("the cache lacks").and(contains("hello 1.0")).and(contains("without --offline")));

    let export = ["archive", "export", "kept", "--lock", "first.lock", "--offline"];
    place.run(&export).assert().success().stdout(contains("exported"));
    place.run(&["archive", "import", "kept", "--cache", "second"]).assert().success();
    again("imported", NOWHERE, &["--offline", "--cache", "second"]).success();
    let folder = format!("file:{}", place.at("kept").display());
    again("folder", &folder, &["--security-mirror", &folder, "--cache", "third"]).success();
    for output in ["offline", "imported", "folder"] {
        assert_eq!(place.sum(&format!("{output}/tiny-1.iso")), image, "{output}");
    }
    assert!(!place.at("none/tiny-1.iso").exists());
}

#[test]
fn a_version_that_the_archive_has_no_more_stays_as_long_as_the_cache_has_it() {
    let mirror = Mirror::start(first_day());
    let (place, url) = (Place::new(), mirror.url());
    place.make("lock", &url, &[]).assert().success();
    second_day(&mirror);
    mirror.change(|archive| {
        for name in ["hello", "world"] {
            archive.files.remove(&pool(name, "1.0")).unwrap();
        }
    });
    place.make("lock", &url, &["--update", "world"]).assert().success().stdout(contains("package world: upgraded"));
    assert_eq!(version(&place.lock(), "hello"), "1.0");
    place.make("iso", &url, &["--locked"]).assert().success();
    // Nowhere else can it be had.
    let elsewhere =
        |what, more: &[&str]| place.make(what, &url, &[&["--cache", "new"], more].concat()).assert().code(1);
    elsewhere("iso", &["--locked", "--output", "elsewhere"])
        .stderr(contains("package hello 1.0").and(contains("found nothing there")));
    mirror.change(|archive| archive.publish(TOMORROW, &[with_user("hello", "1.1"), package("world", "1.2")]));
    elsewhere("lock", &["--update", "world"])
        .stderr(contains("no archive lists hello as the lock has it").and(contains("--update hello")));
}

#[test]
fn a_second_build_with_all_varied_gives_the_same_bytes() {
    let mirror = Mirror::start(first_day());
    let place = Place::new();
    // `--check` is its old name.
    place.make("tar", &mirror.url(), &["--check"]).assert().success().stdout(contains("built twice, the same bytes"));
    let check = || place.make("iso", &mirror.url(), &["--reproduce"]).assert().success();
    check().stdout(
        contains("built twice, the same bytes").and(contains("the file system").and(contains("the kernel's release"))),
    );
    assert!(place.named("images/.work", "build-").is_empty());
    // The second build takes packages that the first made nothing of: what is gone or damaged is fetched again.
    let packages = || place.named("cache/packages", "").into_iter().filter(|path| path.is_file());
    fs::write(packages().next().unwrap(), "x").unwrap();
    check().stdout(contains("was there already").and(contains("built twice, the same bytes")));
    packages().for_each(|path| fs::remove_file(path).unwrap());
    check().stdout(contains("built twice, the same bytes"));
    // One that was killed while it checked leaves its folder to the next.
    fs::create_dir_all(place.at("images/.work/build-dead/a folder")).unwrap();
    place.make("iso", &mirror.url(), &[]).assert().success().stdout(contains("was there already"));
    assert!(place.named("images/.work", "build-").is_empty());
}
