//! Builds that are killed at any moment, that run concurrently, or that find the disk full.

use applbuild_test_support::mirror::{Archive, Mirror, TODAY, package, with_user};
use applbuild_test_support::project::Project;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use predicates::str::contains;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const ISO: &str = "images/tiny-1.iso";

fn mirror() -> Mirror {
    Mirror::start(Archive::new(TODAY, &[with_user("hello", "1.0"), package("world", "1.0")]))
}

fn start(project: &Project, url: &str) -> Child {
    let arguments = ["iso", "--profile", "tiny", "--keyring", "keyring.pgp", "--mirror", url];
    let mut command = project.plain(&arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Temporary files and directories of interrupted builds, found by their name prefixes.
fn leftovers(project: &Project) -> Vec<std::path::PathBuf> {
    let folders =
        [("images", ".new-"), ("images/.work", "build-"), ("profiles", "."), ("cache", ".new-"), ("cache", "build-")];
    folders.iter().flat_map(|(folder, prefix)| project.named(folder, prefix)).collect()
}

/// A number from the environment, which allows longer runs.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: expected a number")))
}

#[test]
fn a_build_that_is_killed_leaves_nothing_half_made() {
    let (kills, seed) = (number("APPLBUILD_KILLS", 20), number("APPLBUILD_SEED", 1));
    let (mirror, project) = (mirror(), Project::new());
    let url = mirror.url();
    let build = || project.make("iso", &url, &[]).assert().success();
    let began = Instant::now();
    build();
    let whole = began.elapsed();
    let (image, lock) = (project.sum(ISO), project.lock());
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..kills {
        // Cold: everything is fetched, configured and compressed again. Otherwise the build reuses what the last one
        // left.
        let cold = round % 2 == 0;
        for gone in ["images", "profiles/tiny.lock", "cache"].iter().take(if cold { 3 } else { 1 }) {
            let path = project.at(gone);
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
        let moment = Duration::from_micros(random.gen_range(0..whole.as_micros() as u64));
        let mut child = start(&project, &url);
        std::thread::sleep(moment);
        kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        let case = format!("seed {seed}, round {round}, killed after {moment:?}");
        if project.at(ISO).exists() {
            assert_eq!(project.sum(ISO), image, "{case}");
        }
        build();
        assert_eq!((project.sum(ISO), project.lock()), (image.clone(), lock.clone()), "{case}");
        assert_eq!(leftovers(&project), [] as [std::path::PathBuf; 0], "{case}");
    }
}

#[test]
fn builds_at_once_do_each_other_no_harm() {
    let (mirror, project) = (mirror(), Project::new());
    let children: Vec<Child> = (0..3).map(|_| start(&project, &mirror.url())).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let together = (project.sum(ISO), project.lock());
    assert_eq!(project.named("images", "tiny-1-2"), [] as [std::path::PathBuf; 0]);
    assert_eq!(leftovers(&project), [] as [std::path::PathBuf; 0]);
    let alone = Project::new();
    alone.make("iso", &mirror.url(), &[]).assert().success();
    assert_eq!((alone.sum(ISO), alone.lock()), together);
}

#[test]
fn an_interrupted_build_says_so() {
    let (mirror, project) = (mirror(), Project::new());
    let mut child = start(&project, &mirror.url());
    while project.named("images/.work", "build-").is_empty() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted; fetched files stay in the cache"));
    assert!(!project.at(ISO).exists());
    project.make("iso", &mirror.url(), &[]).assert().success().stdout(contains(ISO));
    assert_eq!(leftovers(&project), [] as [std::path::PathBuf; 0]);
}
