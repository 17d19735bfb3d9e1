//! The life of a lock: created, built from, unchanged while the archive moves on, updated, built from without a mirror.

use applbuild_test_support::mirror::{Archive, Mirror, TODAY, TOMORROW, YESTERDAY, package, pool, with_user};
use applbuild_test_support::project::Project;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use std::fs;

const ISO: &str = "images/tiny-1.iso";
/// A URL where nothing listens.
const NOWHERE: &str = "http://127.0.0.1:1/debian";

/// The archive's content on its first and second day.
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
    let (project, url) = (Project::new(), mirror.url());
    project
        .make("iso", &url, &["--locked"])
        .assert()
        .code(3)
        .stderr(contains("tiny.lock").and(contains("is not there")).and(contains("applbuild lock --profile tiny")));
    project.make("lock", &url, &[]).assert().success().stdout(contains("tiny.lock: made"));
    let first = project.lock();
    assert_eq!((version(&first, "hello"), version(&first, "world")), ("1.0".into(), "1.0".into()));
    assert!(first.contains("_hello"), "{first}");
    project.make("lock", &url, &[]).assert().success().stdout(contains("is up to date"));
    project.make("iso", &url, &["--locked"]).assert().success().stdout(contains(ISO));
    let image = project.sum(ISO);

    second_day(&mirror);
    project.make("iso", &url, &[]).assert().success().stdout(contains("was there already"));
    project.make("iso", &url, &["--output", "again"]).assert().success();
    assert_eq!((project.lock(), project.sum("again/tiny-1.iso")), (first.clone(), image.clone()));
    fs::write(project.at("first.lock"), &first).unwrap();

    let update = |more: &[&str]| project.make("lock", &url, &[&["--update"], more].concat()).assert();
    update(&["helo"]).code(3).stderr(contains("did you mean hello?"));
    update(&["hello"]).success().stdout(contains("package hello: upgraded 1.0 to 1.1").and(contains("world").not()));
    let second = project.lock();
    assert_eq!((version(&second, "hello"), version(&second, "world")), ("1.1".into(), "1.0".into()));
    update(&[]).success().stdout(contains("package world: upgraded 1.0 to 1.1").and(contains("hello").not()));
    let diff = project.run(&["lock", "diff", "first.lock", "profiles/tiny.lock"]).assert().success();
    let expected = "  package hello: upgraded 1.0 to 1.1\n  package world: upgraded 1.0 to 1.1\n";
    diff.stdout(
        contains(expected).and(contains("suite debian/trixie: from 2023-11-23 20:00 UTC to 2023-11-24 20:00 UTC")),
    );
    // Different packages give a different image.
    project.make("iso", &url, &["--locked"]).assert().success().stdout(contains("tiny-1-2.iso"));
    assert_ne!(project.sum("images/tiny-1-2.iso"), image);
    // The ids of users do not change.
    let ids = |lock: &str| lock[lock.find("[ids").unwrap()..lock.find("[[packages").unwrap()].to_owned();
    assert_eq!(ids(&project.lock()), ids(&first));
}

#[test]
fn a_lock_needs_no_mirror() {
    let mirror = Mirror::start(first_day());
    let (project, url) = (Project::new(), mirror.url());
    project.make("iso", &url, &[]).assert().success().stdout(contains("tiny.lock: made"));
    let image = project.sum(ISO);
    fs::copy(project.at("profiles/tiny.lock"), project.at("first.lock")).unwrap();
    let again = |output: &str, url: &str, more: &[&str]| {
        project.make("iso", url, &[&["--output", output, "--lock", "first.lock"], more].concat()).assert()
    };
    again("offline", NOWHERE, &["--offline"]).success();
    again("none", NOWHERE, &["--offline", "--cache", "none"])
        .code(1)
        .stderr(contains("the cache lacks").and(contains("hello 1.0")).and(contains("without --offline")));

    let export = ["archive", "export", "kept", "--lock", "first.lock", "--offline"];
    project.run(&export).assert().success().stdout(contains("exported"));
    project.run(&["archive", "import", "kept", "--cache", "second"]).assert().success();
    again("imported", NOWHERE, &["--offline", "--cache", "second"]).success();
    let folder = format!("file:{}", project.at("kept").display());
    again("folder", &folder, &["--security-mirror", &folder, "--cache", "third"]).success();
    for output in ["offline", "imported", "folder"] {
        assert_eq!(project.sum(&format!("{output}/tiny-1.iso")), image, "{output}");
    }
    assert!(!project.at("none/tiny-1.iso").exists());
}

#[test]
fn a_version_that_the_archive_has_no_more_stays_as_long_as_the_cache_has_it() {
    let mirror = Mirror::start(first_day());
    let (project, url) = (Project::new(), mirror.url());
    project.make("lock", &url, &[]).assert().success();
    second_day(&mirror);
    mirror.change(|archive| {
        for name in ["hello", "world"] {
            archive.files.remove(&pool(name, "1.0")).unwrap();
        }
    });
    project.make("lock", &url, &["--update", "world"]).assert().success().stdout(contains("package world: upgraded"));
    assert_eq!(version(&project.lock(), "hello"), "1.0");
    project.make("iso", &url, &["--locked"]).assert().success();
    // With an empty cache the package is not available.
    let elsewhere =
        |what, more: &[&str]| project.make(what, &url, &[&["--cache", "new"], more].concat()).assert().code(1);
    elsewhere("iso", &["--locked", "--output", "elsewhere"])
        .stderr(contains("package hello 1.0").and(contains("found nothing there")));
    mirror.change(|archive| archive.publish(TOMORROW, &[with_user("hello", "1.1"), package("world", "1.2")]));
    elsewhere("lock", &["--update", "world"])
        .stderr(contains("no archive offers hello in the version of the lock").and(contains("--update hello")));
}

#[test]
fn a_second_build_with_all_varied_gives_the_same_bytes() {
    let mirror = Mirror::start(first_day());
    let project = Project::new();
    // `--check` is the old name of `--reproduce`.
    project.make("tar", &mirror.url(), &["--check"]).assert().success().stdout(contains("built twice, the same bytes"));
    let check = || project.make("iso", &mirror.url(), &["--reproduce"]).assert().success();
    check().stdout(
        contains("built twice, the same bytes").and(contains("the file system").and(contains("the kernel's release"))),
    );
    assert!(project.named("images/.work", "build-").is_empty());
    // Packages that are missing or damaged before the second build are fetched again.
    let packages = || project.named("cache/packages", "").into_iter().filter(|path| path.is_file());
    fs::write(packages().next().unwrap(), "x").unwrap();
    check().stdout(contains("was there already").and(contains("built twice, the same bytes")));
    packages().for_each(|path| fs::remove_file(path).unwrap());
    check().stdout(contains("built twice, the same bytes"));
    // The directory of a killed check is removed by the next build.
    fs::create_dir_all(project.at("images/.work/build-dead/a folder")).unwrap();
    project.make("iso", &mirror.url(), &[]).assert().success().stdout(contains("was there already"));
    assert!(project.named("images/.work", "build-").is_empty());
}
