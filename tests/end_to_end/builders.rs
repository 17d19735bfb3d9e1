//! Images record the source that their builder was compiled from, and not how it was compiled.

use applbuild_test_support::mirror::{Archive, Mirror, TODAY, package, with_user};
use applbuild_test_support::project::Project;
use assert_cmd::Command;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const ISO: &str = "images/tiny-1.iso";
const SECOND: &str = "images/tiny-1-2.iso";

struct Builders {
    mirror: Mirror,
    project: Project,
}

impl Builders {
    fn new() -> Self {
        let mirror = Mirror::start(Archive::new(TODAY, &[with_user("hello", "1.0"), package("world", "1.0")]));
        Self { mirror, project: Project::new() }
    }

    fn iso(&self, program: &Path, more: &[&str]) -> Command {
        let url = self.mirror.url();
        let arguments = ["iso", "--profile", "tiny", "--keyring", "keyring.pgp", "--mirror", &url];
        Command::from_std(self.project.plain_of(program, &[&arguments, more].concat()))
    }

    /// What `--version` prints.
    fn version(&self, program: &Path) -> String {
        let output = self.project.plain_of(program, &["--version"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// A program with these bytes. Another process writes it: a program cannot be executed while it is open for
    /// writing, and a process that another test starts would inherit the open file descriptor.
    fn program(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let (written, program) = (self.project.at("bytes"), self.project.at(name));
        fs::write(&written, bytes).unwrap();
        let copied = std::process::Command::new("install").arg("-m755").arg(&written).arg(&program).status().unwrap();
        assert!(copied.success());
        program
    }

    fn manifest(&self, image: &str) -> Value {
        serde_json::from_str(&self.project.read(&image.replace(".iso", ".manifest.json"))).unwrap()
    }
}

fn own() -> (PathBuf, Vec<u8>) {
    let program = assert_cmd::cargo::cargo_bin("applbuild");
    let bytes = fs::read(&program).unwrap();
    (program, bytes)
}

#[test]
fn a_builder_of_other_bytes_from_the_same_source_makes_the_same_image() {
    let builders = Builders::new();
    let (program, mut bytes) = own();
    builders.iso(&program, &[]).assert().success();
    let image = builders.project.sum(ISO);
    bytes.extend(b"compiled elsewhere");
    let other = builders.program("other", &bytes);
    builders.iso(&other, &[]).assert().success().stdout(contains("was there already"));
    assert!(!builders.project.at(SECOND).exists());
    // With an empty cache and another output directory, nothing of the first build is reused.
    builders.iso(&other, &["--cache", "another", "--output", "again"]).assert().success();
    assert_eq!(builders.project.sum("again/tiny-1.iso"), image);
}

#[test]
fn a_builder_of_another_source_makes_another_image_under_another_name() {
    let builders = Builders::new();
    let (program, mut bytes) = own();
    builders.iso(&program, &[]).assert().success();
    let version = builders.version(&program);
    let source = version.lines().find_map(|line| line.strip_prefix("source ")).unwrap();
    let another = source.chars().rev().collect::<String>();
    let places: Vec<usize> =
        (0..bytes.len() - source.len()).filter(|at| bytes[*at..].starts_with(source.as_bytes())).collect();
    assert!(!places.is_empty(), "{source}");
    for at in places {
        bytes[at..at + another.len()].copy_from_slice(another.as_bytes());
    }
    let other = builders.program("other", &bytes);
    builders.iso(&other, &[]).assert().success().stdout(contains(SECOND));
    let [first, second] = [ISO, SECOND].map(|image| builders.manifest(image));
    assert_eq!(first["applbuild"]["source_sha256"], source);
    assert_eq!(second["applbuild"]["source_sha256"], another.as_str());
    for key in ["applbuild", "medium_uuid"] {
        assert_ne!(first[key], second[key], "{key}");
    }
    assert_eq!(first["agent_sha256"], second["agent_sha256"]);
}

#[test]
fn an_image_says_what_its_builder_says() {
    let builders = Builders::new();
    let (program, _) = own();
    builders.iso(&program, &[]).assert().success();
    let (manifest, rebuild) = (builders.manifest(ISO), builders.project.read("images/tiny-1.rebuild"));
    let named = &manifest["applbuild"];
    for line in builders.version(&program).lines() {
        assert!(rebuild.lines().any(|text| text.trim() == line), "{line}: {rebuild}");
        let (what, value) = line.split_once(' ').unwrap();
        let found = match what {
            "applbuild" => &named["version"],
            "identity" => &named["sha256"],
            "compiler" => &named["compiler"],
            "library" => {
                let (name, version) = value.split_once(' ').unwrap();
                assert_eq!(named["libraries"][name], version);
                continue;
            }
            _ => &named[format!("{what}_sha256")],
        };
        assert_eq!(found, value, "{what}");
    }
    assert_eq!(manifest["agent_sha256"], named["init_sha256"]);
}
