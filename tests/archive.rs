//! Folders of packages, judged by apt; and back into a cache.

use applbuild_test_support::debs::{self, Deb};
use applbuild_test_support::judges::judge;
use assert_cmd::Command;
use predicates::str::contains;
use std::fs;
use std::path::Path;

fn applbuild(folder: &Path) -> Command {
    let mut command = Command::cargo_bin("applbuild").unwrap();
    command.current_dir(folder).env("NO_COLOR", "1").env_remove("APPLBUILD_MIRROR");
    command
}

#[test]
fn apt_takes_what_is_exported_and_a_cache_takes_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("mirror/pool")).unwrap();
    let (lock, _) = debs::lock(&[Deb::new("one").field("Depends: two"), Deb::new("two")], &at("mirror/pool"));
    fs::write(at("t.lock"), lock.render().unwrap()).unwrap();
    let mirror = format!("file:{}", at("mirror").display());
    let export = |to: &str, cache: &str| {
        let mut command = applbuild(folder.path());
        command.args(["archive", "export", to, "--lock", "t.lock", "--mirror", &mirror, "--cache", cache]).assert()
    };
    export("archive", "first").success().stdout(contains("exported 2 packages"));
    export("again", "second").success();
    for name in ["Packages", "Release", "locks/t.lock", "pool/one.deb"] {
        assert_eq!(fs::read(at("archive").join(name)).unwrap(), fs::read(at("again").join(name)).unwrap(), "{name}");
    }

    let apt = at("apt");
    for name in ["etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg"]
    {
        fs::create_dir_all(apt.join(name)).unwrap();
    }
    fs::write(apt.join("var/lib/dpkg/status"), "").unwrap();
    let source = format!("deb [trusted=yes] file:{} ./\n", at("archive").display());
    fs::write(apt.join("etc/apt/sources.list"), source).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = judge("apt-get");
        command.arg("-o").arg(format!("Dir={}", apt.display()));
        command.arg("-o").arg(format!("Dir::State::status={}", apt.join("var/lib/dpkg/status").display()));
        command.args(["-o", "APT::Architecture=amd64", "-o", "APT::Sandbox::User="]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run(&["update"]);
    let said = run(&["-s", "install", "one"]);
    assert!(said.contains("Inst two (1.0") && said.contains("Inst one (1.0"), "{said}");

    let import =
        |cache: &str| applbuild(folder.path()).args(["archive", "import", "archive", "--cache", cache]).assert();
    import("third").success().stdout(contains("imported 2 packages"));
    let damaged = at("archive/pool/one.deb");
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[100] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    import("fourth").code(1).stderr(contains("one 1.0"));
    applbuild(folder.path()).args(["archive", "import", "mirror"]).assert().code(3).stderr(contains("holds no lock"));
}

#[test]
fn diff_ends_with_4_where_files_differ() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("a", "one\n"), ("b", "one\n"), ("c", "two\n")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    applbuild(folder.path()).args(["diff", "a", "b"]).assert().success().stdout("");
    let said = "the file itself: content, from byte 0 on\n--- first\none\n+++ second\ntwo\n";
    applbuild(folder.path()).args(["diff", "a", "c"]).assert().code(4).stdout(said).stderr(contains("a and c differ"));
    applbuild(folder.path()).args(["diff", "a", "none"]).assert().code(1).stderr(contains("none"));
}
