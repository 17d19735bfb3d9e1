//! The binary as a user meets it: help, suggestions, exit codes.

use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::{contains, is_match, starts_with};
use sha2::{Digest, Sha256};
use std::fs;
use tempfile::TempDir;

const GOOD: &str = "kind = \"host\"\nversion = \"1\"\nsuites = [\"debian/trixie\"]\ncomponents = [\"main\"]\npackages = [\"systemd\"]\n";

fn applbuild(root: &TempDir) -> Command {
    let mut command = Command::cargo_bin("applbuild").unwrap();
    command.current_dir(root.path()).env("NO_COLOR", "1").env_remove("APPLBUILD_MIRROR");
    command
}

fn root(profiles: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("profiles")).unwrap();
    for (name, text) in profiles {
        fs::write(root.path().join("profiles").join(name), text).unwrap();
    }
    root
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let root = root(&[]);
    let help = applbuild(&root).arg("--help").assert().success();
    let text = String::from_utf8(help.get_output().stdout.clone()).unwrap();
    for word in ["iso", "profile", "completions", "man", "Exit codes:", "130"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn help_prints_commands_and_chapters_and_proposes_names() {
    let root = root(&[]);
    let help = |words: &[&str]| applbuild(&root).arg("help").args(words).assert();
    help(&[]).success().stdout(contains("Chapters").and(contains("booting")));
    help(&["config", "image"]).success().stdout(contains("Usage: applbuild config image"));
    help(&["config.md"]).success().stdout(starts_with("# "));
    help(&["booting"]).success().stdout(starts_with("# "));
    help(&["botting"]).code(2).stderr(contains("did you mean booting?"));
    help(&["nothing", "like", "it"]).code(2).stderr(contains("The chapters are: getting-started"));
}

#[test]
fn the_version_is_what_others_make_of_the_source() {
    let root = root(&[]);
    let print = |argument| {
        let output = applbuild(&root).arg(argument).assert().success().get_output().stdout.clone();
        String::from_utf8(output).unwrap()
    };
    // As docs/reproducibility.md has it.
    let script = "find Cargo.lock Cargo.toml build.rs src templates -type f ! -path '*/.*' ! -name '*~' |
        LC_ALL=C sort | xargs sha256sum | sha256sum";
    let output = std::process::Command::new("sh").args(["-c", script]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let source = text.split(' ').next().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(print("-V"), format!("applbuild {version} (source {})\n", &source[..16]));
    let long = print("--version");
    assert!(long.starts_with(&format!("applbuild {version}\nsource {source}\ninit ")), "{long}");
    let (lines, identity) = long.trim_end().rsplit_once("identity ").unwrap();
    assert_eq!(identity, hex::encode(Sha256::digest(lines)), "{long}");
}

#[test]
fn manual_pages_are_the_same_for_every_program_of_a_version() {
    let root = root(&[]);
    applbuild(&root).args(["man", "man"]).assert().success();
    let page = fs::read_to_string(root.path().join("man/applbuild.1")).unwrap();
    assert!(page.contains(&format!("v{}\n", env!("CARGO_PKG_VERSION"))) && !page.contains("source "), "{page}");
}

#[test]
fn a_wrong_command_line_is_2_with_the_nearest_name() {
    let root = root(&[]);
    applbuild(&root).arg("profil").assert().code(2).stderr(contains("profile"));
    applbuild(&root).assert().code(2);
    applbuild(&root).args(["profile", "show"]).assert().code(2);
}

#[test]
fn an_unknown_profile_is_3_with_the_nearest_name() {
    let root = root(&[("server.toml", GOOD)]);
    applbuild(&root)
        .args(["profile", "show", "sever"])
        .assert()
        .code(3)
        .stdout("")
        .stderr(contains("did you mean \"server\"?"));
}

#[test]
fn an_unknown_key_is_3_with_its_place() {
    let root = root(&[("bad.toml", &format!("{GOOD}packges = []\n"))]);
    applbuild(&root)
        .args(["profile", "show", "bad"])
        .assert()
        .code(3)
        .stderr(contains("bad.toml:6:1"))
        .stderr(contains("did you mean \"packages\"?"));
    let json = applbuild(&root).args(["profile", "show", "bad", "--json"]).assert().code(3).stderr("");
    let event: serde_json::Value = serde_json::from_slice(&json.get_output().stdout).unwrap();
    assert_eq!((&event["schema"], &event["event"], &event["line"]), (&1.into(), &"error".into(), &6.into()));
}

#[test]
fn the_folder_stands_before_the_embedded_profiles() {
    let root = root(&[("host.toml", GOOD)]);
    applbuild(&root)
        .args(["profile", "list"])
        .assert()
        .success()
        .stdout(is_match("(?m)^host +host +1 +folder$").unwrap());
    fs::remove_file(root.path().join("profiles/host.toml")).unwrap();
    applbuild(&root).args(["profile", "list"]).assert().success().stdout(contains("embedded\n"));
}

#[test]
fn a_broken_profile_does_not_hide_the_others() {
    let root = root(&[("bad.toml", "version = 1\n"), ("good.toml", GOOD)]);
    applbuild(&root)
        .args(["profile", "list"])
        .assert()
        .code(3)
        .stdout(contains("good"))
        .stderr(contains("version: found an integer, expected a string"));
}

#[test]
fn completions_and_manual_pages_are_written() {
    let root = root(&[]);
    applbuild(&root).args(["completions", "bash"]).assert().success().stdout(starts_with("_applbuild()"));
    applbuild(&root).args(["man", "pages"]).assert().success();
    assert!(fs::read_to_string(root.path().join("pages/applbuild.1")).unwrap().contains("Exit codes"));
    fs::write(root.path().join("file"), "").unwrap();
    applbuild(&root).args(["man", "file"]).assert().code(1).stderr(contains("writing manual pages into file"));
}

#[test]
fn iso_refuses_what_cannot_be_meant_before_it_does_anything() {
    let root = root(&[("server.toml", GOOD)]);
    for (arguments, code, said) in [
        (vec![], 2, "--profile"),
        (vec!["--profile", "sever"], 3, "did you mean \"server\"?"),
        (vec!["--profile", "server", "--level", "99"], 2, "1 to 22"),
        (vec!["--profile", "server", "--lock", "a", "--locked"], 2, "cannot be used with"),
        (vec!["--profile", "server", "--mirror", "nonsense"], 2, "--mirror"),
        (vec!["--profile", "server", "--keyring", "nowhere.gpg"], 3, "nowhere.gpg"),
    ] {
        applbuild(&root).arg("iso").args(&arguments).assert().code(code).stderr(contains(said)).stdout("");
    }
    let mut date = applbuild(&root);
    date.args(["iso", "--profile", "server"]).env("SOURCE_DATE_EPOCH", "yesterday");
    date.assert().code(2).stderr(contains("SOURCE_DATE_EPOCH"));
    assert!(!root.path().join("images").exists());
}

#[test]
fn iso_tells_what_is_wrong_with_a_lock_and_with_a_mirror() {
    let root = root(&[("server.toml", GOOD)]);
    let iso = |arguments: &[&str]| {
        let mut command = applbuild(&root);
        command.args(["iso", "--profile", "server", "--cache", "cache"]).args(arguments);
        command.assert()
    };
    let make_one = "is not there; make one: applbuild lock --profile server";
    iso(&["--lock", "none.lock"]).code(3).stderr(contains(format!("none.lock {make_one}")));
    iso(&["--locked"]).code(3).stderr(contains(format!("profiles/server.lock {make_one}")));
    iso(&["--offline"]).code(3).stderr(contains("server.lock is not there;"));
    fs::write(root.path().join("bad.lock"), "schema = 2\n").unwrap();
    iso(&["--lock", "bad.lock"]).code(3).stderr(contains("bad.lock"));
    iso(&["--mirror", "file:///nonexistent"]).code(1).stderr(contains("nonexistent"));
    let images = fs::read_dir(root.path().join("images")).map(Iterator::count).unwrap_or(0);
    assert_eq!(images, 0);
}

#[test]
fn a_wrong_command_line_is_json_for_who_asks_for_json() {
    let root = root(&[]);
    let said = applbuild(&root).args(["iso", "--json", "--profil", "x"]).assert().code(2).stderr("");
    let event: serde_json::Value = serde_json::from_slice(&said.get_output().stdout).unwrap();
    assert!(event["event"] == "error" && event["message"].as_str().unwrap().contains("--profile"), "{event}");
    applbuild(&root).args(["--json", "--help"]).assert().success().stdout(contains("Usage:"));
}

#[test]
fn pipes_and_devices_among_profiles_end_nothing() {
    let root = root(&[("good.toml", GOOD)]);
    let profiles = root.path().join("profiles");
    std::os::unix::fs::symlink("/dev/zero", profiles.join("endless.toml")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(profiles.join("pipe.toml")).status().unwrap();
    assert!(made.success());
    applbuild(&root).args(["profile", "show", "pipe"]).assert().code(3).stderr(contains("found a pipe"));
    let list = applbuild(&root).args(["profile", "list"]).assert();
    list.code(3).stdout(contains("good")).stderr(contains("endless.toml"));
}

#[test]
fn output_that_is_lost_is_a_failure_and_messages_that_are_lost_are_none() {
    let root = root(&[("good.toml", GOOD)]);
    let run = |arguments: &[&str], out: &str, err: &str| {
        let open = |path: &str| fs::OpenOptions::new().write(true).open(path).unwrap();
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("applbuild"));
        command.current_dir(root.path()).args(arguments).stdout(open(out)).stderr(open(err));
        command.status().unwrap().code()
    };
    assert_eq!(run(&["profile", "show", "good"], "/dev/null", "/dev/null"), Some(0));
    assert_eq!(run(&["profile", "show", "good"], "/dev/full", "/dev/null"), Some(1));
    assert_eq!(run(&["profile", "show", "goood"], "/dev/null", "/dev/full"), Some(3));
}

#[test]
fn what_the_environment_says_is_checked() {
    use std::os::unix::ffi::OsStrExt;
    let root = root(&[("good.toml", GOOD)]);
    for date in ["-5", "4294967296", ""] {
        let mut iso = applbuild(&root);
        iso.args(["iso", "--profile", "good"]).env("SOURCE_DATE_EPOCH", date);
        iso.assert().code(2).stderr(contains("SOURCE_DATE_EPOCH: found"));
    }
    let mut iso = applbuild(&root);
    iso.args(["iso", "--profile", "good"]).env("APPLBUILD_MIRROR", std::ffi::OsStr::from_bytes(b"http://\xff"));
    iso.assert().code(2).stderr(contains("APPLBUILD_MIRROR"));
}

#[test]
fn an_archive_that_nobody_knows_is_named_with_the_nearest() {
    let root = root(&[("other.toml", &GOOD.replace("debian/", "debain/"))]);
    let mut iso = applbuild(&root);
    iso.args(["iso", "--profile", "other", "--cache", "cache", "--mirror", "file:///nonexistent"]);
    iso.assert().code(3).stderr(contains("did you mean debian?"));
}

#[test]
fn a_set_that_is_not_what_the_profile_says_is_refused_before_anything_is_fetched() {
    let sets = |file: &str, sha256: &str| {
        let head = GOOD.replace("packages = [\"systemd\"]\n", "agent = false\n");
        let boot = "[boot]\nkernel = \"/netbsd\"\nprotocol = \"multiboot\"\n";
        root(&[("sets.toml", &format!("{head}{boot}[[sets]]\nfile = \"{file}\"\nsha256 = \"{sha256}\"\n"))])
    };
    let iso = |root: &TempDir| {
        let mut command = applbuild(root);
        command.args(["iso", "--profile", "sets", "--cache", "cache", "--mirror", "file:///nonexistent"]);
        command.assert()
    };
    let zeros = "0".repeat(64);
    let root = sets("base.tgz", &zeros);
    let path = root.path().join("profiles/base.tgz");
    iso(&root).code(1).stderr(contains("reading set ./profiles/base.tgz"));
    fs::write(&path, "x").unwrap();
    let said = iso(&root).code(3).stderr(contains("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"));
    said.stderr(contains("sets.toml:"));
    fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    iso(&root).code(1).stderr(contains("expected a file"));
}

#[test]
fn what_would_fail_a_build_at_its_end_is_found_at_its_beginning() {
    use std::os::unix::ffi::OsStrExt;
    let root = root(&[("good.toml", GOOD)]);
    let iso = |more: &[&str]| {
        let mut command = applbuild(&root);
        command.args(["iso", "--profile", "good", "--cache", "cache", "--mirror", "file:///nonexistent"]).args(more);
        command.assert()
    };
    fs::write(root.path().join("file"), "").unwrap();
    iso(&["--output", "file/images"]).code(1).stderr(contains("file/images"));
    // root may write anywhere but here.
    iso(&["--output", "/proc/images"]).code(1).stderr(contains("/proc/images"));
    fs::create_dir(root.path().join("templates")).unwrap();
    fs::write(root.path().join("templates/grub.cfg.hbs"), "a\n{{#if b}}\n").unwrap();
    iso(&[]).code(3).stderr(contains("templates/grub.cfg.hbs, line "));
    fs::remove_file(root.path().join("templates/grub.cfg.hbs")).unwrap();
    fs::create_dir_all(root.path().join("profiles/good/etc")).unwrap();
    fs::write(root.path().join("profiles/good/etc/motd.hbs"), "a\n{{vars.b}}\n").unwrap();
    iso(&[]).code(3).stderr(contains("profiles/good/etc/motd.hbs:2:")).stderr(contains("has no value"));
    let mut strange = applbuild(&root);
    strange.args(["iso", "--profile", "good", "--output"]).arg(std::ffi::OsStr::from_bytes(b"im\xffges"));
    strange.assert().code(2).stderr(contains("expected UTF-8"));
}

#[test]
fn quiet_prints_errors_only_and_verbose_is_its_opposite() {
    let root = root(&[("good.toml", GOOD)]);
    applbuild(&root).args(["init", "loud"]).assert().success().stdout(contains("next:"));
    applbuild(&root).args(["init", "silent", "-q"]).assert().success().stdout("").stderr("");
    applbuild(&root).args(["--quiet", "init", "silent"]).assert().failure().stdout("").stderr(contains("silent"));
    // What a command is there to print is no chatter.
    applbuild(&root).args(["-q", "profile", "show", "good"]).assert().success().stdout(contains("suites"));
    for other in ["-v", "--verbose"] {
        let mut command = applbuild(&root);
        command.args(["-q", other, "profile", "list"]).assert().code(2).stderr(contains("cannot be used with"));
    }
    let mut command = applbuild(&root);
    command.args(["-q", "--json", "profile", "list"]).assert().code(2).stdout(contains("cannot be used with"));
    applbuild(&root).args(["-v", "profile", "list"]).assert().success().stdout(contains("good"));
}

#[test]
fn colors_are_used_where_they_are_asked_for() {
    let root = root(&[]);
    let colored = |arguments: &[&str], no_color: Option<&str>| {
        let mut command = applbuild(&root);
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").args(arguments);
        no_color.map(|value| command.env("NO_COLOR", value));
        let output = command.output().unwrap();
        [output.stdout, output.stderr].concat().contains(&0x1b)
    };
    for what in [["profile", "show", "nothing"].as_slice(), &["iso", "--profil", "x"], &["--help"]] {
        let with = |color: &'static str| [&["--color", color], what].concat();
        assert!(colored(&with("always"), None), "{what:?}");
        assert!(colored(&with("always"), Some("1")), "{what:?}");
        assert!(!colored(&with("never"), None), "{what:?}");
        // Standard output and error are pipes.
        assert!(!colored(&with("auto"), None) && !colored(what, Some("1")), "{what:?}");
    }
    applbuild(&root).args(["--color", "pink", "profile", "list"]).assert().code(2).stderr(contains("never"));
}

#[test]
fn output_names_a_directory_or_the_file_of_what_is_one_file() {
    let root = root(&[("good.toml", GOOD)]);
    let image = |output: &str, more: &[&str]| {
        let mut command = applbuild(&root);
        command.args(["config", "image", "--fleet", "fleet", "--node", "node1", "-o", output]).args(more);
        command.assert()
    };
    applbuild(&root).args(["init", "fleet"]).assert().success();
    image("one.img", &[]).success().stdout(starts_with("one.img: "));
    fs::create_dir(root.path().join("out")).unwrap();
    image("out", &[]).success().stdout(starts_with("out/node1.img: "));
    image("out/", &["--format", "iso"]).success().stdout(starts_with("out/node1.iso: "));
    for made in ["one.img", "out/node1.img", "out/node1.iso"] {
        assert!(root.path().join(made).is_file(), "{made}");
    }
    image("none/", &[]).code(1).stderr(contains("none"));
    let mut iso = applbuild(&root);
    iso.args(["iso", "--profile", "good", "-o", "one.img"]);
    iso.assert().code(2).stderr(contains("one.img").and(contains("expected a directory")));
}

#[test]
fn scenarios_are_listed_without_an_image() {
    let root = root(&[]);
    applbuild(&root).args(["test", "--list"]).assert().success().stdout(is_match("(?m)^rescue +[A-Za-z]").unwrap());
    applbuild(&root).arg("test").assert().code(2).stderr(contains("<IMAGE>"));
}

#[test]
fn errors_keep_names_whole() {
    let root = root(&[]);
    let name = "a-folder-of-a-long-name-with-hyphens/".repeat(8);
    applbuild(&root).args(["boot", &name]).assert().code(1).stderr(contains(&name));
}

const LOCK: &str =
    "schema = 1\nprofile = \"server\"\narchitecture = \"amd64\"\nrequest = \"\"\ndate = 0\nsuites = []\n";

fn package(name: &str, version: &str) -> String {
    let sum = "a".repeat(64);
    format!(
        "[[packages]]\nname = \"{name}\"\nversion = \"{version}\"\narchitecture = \"all\"\nsha256 = \"{sum}\"\nsize = 1\narchive = \"debian\"\npath = \"pool/x.deb\"\n"
    )
}

#[test]
fn lock_diff_says_what_is_other() {
    let root = root(&[]);
    let write = |name: &str, packages: &[(&str, &str)]| {
        let packages: String = packages.iter().map(|(name, version)| package(name, version)).collect();
        fs::write(root.path().join(name), format!("{LOCK}{packages}")).unwrap();
    };
    write("old.lock", &[("gone", "1"), ("moved", "1.0-1"), ("same", "1")]);
    write("new.lock", &[("come", "2"), ("moved", "1.0-2"), ("same", "1")]);
    let diff = |arguments: &[&str]| applbuild(&root).args(["lock", "diff"]).args(arguments).assert();
    let said = "  package come: added 2\n  package gone: removed 1\n  package moved: upgraded 1.0-1 to 1.0-2\n";
    diff(&["old.lock", "new.lock"]).success().stdout(said);
    diff(&["old.lock", "old.lock"]).success().stdout("");
    diff(&["new.lock", "old.lock"]).success().stdout(contains("moved: downgraded 1.0-2 to 1.0-1"));
    diff(&["old.lock", "new.lock", "--json"]).success().stdout(contains("\"change\":\"upgraded\""));
    diff(&["old.lock"]).code(2);
    diff(&["old.lock", "none.lock"]).code(1).stderr(contains("none.lock"));
    fs::write(root.path().join("bad.lock"), format!("{LOCK}{}", package("a", "1").repeat(2))).unwrap();
    diff(&["old.lock", "bad.lock"]).code(3).stderr(contains("bad.lock")).stderr(contains("\"a\" after \"a\""));
}

#[test]
fn a_lock_that_the_profile_has_moved_past_is_refused_where_none_may_change() {
    let root = root(&[("server.toml", GOOD)]);
    let lock = format!("{LOCK}packages = []\n");
    fs::write(root.path().join("profiles/server.lock"), &lock).unwrap();
    for arguments in [["--locked"].as_slice(), &["--lock", "profiles/server.lock"], &["--offline"]] {
        let mut command = applbuild(&root);
        command.args(["iso", "--profile", "server", "--cache", "cache"]).args(arguments);
        command.assert().code(3).stderr(contains("server.lock lacks systemd,"));
    }
    let other = lock.replace("\"server\"", "\"other\"");
    fs::write(root.path().join("profiles/server.lock"), other).unwrap();
    let mut command = applbuild(&root);
    command
        .args(["iso", "--profile", "server", "--locked"])
        .assert()
        .code(3)
        .stderr(contains("is of the profile other"));
    applbuild(&root).arg("lock").assert().code(2).stderr(contains("--profile"));
}
