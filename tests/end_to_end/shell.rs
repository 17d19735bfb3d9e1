//! `applbuild shell` runs a program in the configured root.

use applbuild_test_support::mirror::{Archive, Mirror, YESTERDAY, package, with_user};
use applbuild_test_support::project::Project;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::{contains, is_match};

#[test]
fn a_shell_sees_the_configured_root_and_leaves_nothing() {
    let mirror = Mirror::start(Archive::new(YESTERDAY, &[with_user("hello", "1.0"), package("world", "1.0")]));
    let project = Project::new();
    let shell = |command: &[&str]| project.make("shell", &mirror.url(), command);
    // Standard input up to its end, and the exit code.
    shell(&["--verbose"])
        .write_stdin("dpkg --status hello && echo >/usr/made; exit 7")
        .assert()
        .code(7)
        .stdout(contains("Version: 1.0"))
        .stderr(contains("Setting up hello (1.0)").and(is_match("(?m)^fetched http://.*hello_1.0.*deb$").unwrap()));
    // A separate cache, so that the packages are fetched and configured again.
    shell(&["--cache", "other", "--", "sh", "-c", ":"])
        .assert()
        .success()
        .stderr(contains("Setting up").not().and(contains("fetched").not()));
    shell(&["--cache", "third", "--quiet", "--", "sh", "-c", "echo said"])
        .assert()
        .success()
        .stdout("said\n")
        .stderr("");
    let script = "test ! -e /usr/made && test -z \"$(ls /sys)\" && echo nothing of it";
    shell(&["--", "sh", "-c", script]).assert().success().stdout(contains("nothing of it"));
    shell(&["--", "/no/such"]).assert().code(1).stderr(contains("starting /no/such").and(contains("No such file")));
    assert!(project.named("images", "tiny").is_empty());
    assert!(project.named("images/.work", "build-").is_empty());
}
