//! Cached files are never trusted: if they are damaged, pruned or incomplete, this costs time and nothing else.

use applbuild_test_support::mirror::{Archive, Mirror, TODAY, package, with_user};
use applbuild_test_support::project::{Project, all};
use assert_cmd::assert::Assert;
use predicates::str::contains;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

const ISO: &str = "images/tiny-1.iso";

fn start() -> (Mirror, Project, String) {
    let mirror = Mirror::start(Archive::new(TODAY, &[with_user("hello", "1.0"), package("world", "1.0")]));
    let project = Project::new();
    project.make("iso", &mirror.url(), &[]).assert().success();
    let sum = project.sum(ISO);
    (mirror, project, sum)
}

/// Builds the image again from the cache.
fn build_again(project: &Project, mirror: &Mirror, sum: &str, case: &str) -> Assert {
    fs::remove_dir_all(project.at("images")).unwrap();
    let built = project.make("iso", &mirror.url(), &["--locked"]).assert().success();
    assert_eq!(project.sum(ISO), sum, "{case}");
    built
}

#[test]
fn a_cache_that_is_damaged_everywhere_gives_the_same_bytes() {
    let (mirror, project, sum) = start();
    type Damage = fn(&mut Vec<u8>, &mut StdRng);
    let damages: [(&str, Damage); 3] = [
        ("a bit", |bytes, random| {
            let at = random.gen_range(0..bytes.len());
            bytes[at] ^= 1 << random.gen_range(0..8);
        }),
        ("the end", |bytes, random| bytes.truncate(random.gen_range(0..bytes.len()))),
        ("all", |bytes, _| bytes.fill(b'x')),
    ];
    let mut random = StdRng::seed_from_u64(3);
    for (case, damage) in damages {
        let mut damaged = 0;
        for path in all(&project.at("cache")) {
            let stat = fs::symlink_metadata(&path).unwrap();
            if stat.is_file() && stat.size() > 0 {
                let mut bytes = fs::read(&path).unwrap();
                damage(&mut bytes, &mut random);
                fs::write(&path, bytes).unwrap();
                damaged += 1;
            }
        }
        assert!(damaged > 50, "{damaged}");
        build_again(&project, &mirror, &sum, case).stderr(contains(".deb was damaged"));
    }
}

#[test]
fn a_cache_that_lacks_any_part_gives_the_same_bytes() {
    let (mirror, project, sum) = start();
    for room in ["packages", "indices", "blocks", "trees", "seen"] {
        fs::remove_dir_all(project.at("cache").join(room)).unwrap();
        build_again(&project, &mirror, &sum, room);
        // Packages are fetched again even if a root made from them is cached: its key depends on the program.
        assert!(project.at("cache/packages").is_dir(), "{room}");
    }
}

#[test]
fn pruning_does_running_builds_no_harm() {
    let (mirror, project, sum) = start();
    for round in 0..4 {
        fs::remove_dir_all(project.at("images")).unwrap();
        let arguments = ["iso", "--profile", "tiny", "--mirror", &mirror.url(), "--locked"];
        let mut build = project.plain(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while build.try_wait().unwrap().is_none() {
            project.run(&["cache", "prune", "--max", "0"]).assert().success();
        }
        let output = build.wait_with_output().unwrap();
        assert!(output.status.success(), "round {round}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(project.sum(ISO), sum, "round {round}");
    }
}
