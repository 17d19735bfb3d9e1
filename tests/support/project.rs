//! A directory with a tiny profile, in which the program is run.

use crate::mirror;
use assert_cmd::Command;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// A run that takes longer counts as hung.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub struct Project {
    folder: TempDir,
}

const PROFILE: &str = r#"kind = "host"
version = "1"
architecture = "amd64"
suites = ["debian/trixie"]
components = ["main"]
packages = ["hello", "linux-image-test", "world"]

[boot]
hypervisors = ["kvm"]

[root]
compression = "zstd"
level = 1
"#;

impl Project {
    #[allow(clippy::new_without_default, reason = "it writes files")]
    pub fn new() -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(project.at("profiles")).unwrap();
        fs::write(project.at("profiles/tiny.toml"), PROFILE).unwrap();
        fs::write(project.at("keyring.pgp"), mirror::keyring()).unwrap();
        project
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program, without environment variables that affect it.
    pub fn run(&self, arguments: &[&str]) -> Command {
        let mut command = Command::from_std(self.plain(arguments));
        command.timeout(PATIENCE);
        command
    }

    pub fn plain(&self, arguments: &[&str]) -> std::process::Command {
        self.plain_of(&assert_cmd::cargo::cargo_bin("applbuild"), arguments)
    }

    /// Like [`Self::plain`], for another program.
    pub fn plain_of(&self, program: &Path, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(program);
        command.current_dir(self.folder()).args(arguments).env("NO_COLOR", "1").env("APPLBUILD_CACHE", "cache");
        for name in ["APPLBUILD_MIRROR", "APPLBUILD_SECURITY_MIRROR", "SOURCE_DATE_EPOCH"] {
            command.env_remove(name);
        }
        for name in ["http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(name);
        }
        command
    }

    /// The command `what` (`iso`, `lock` …) for the tiny profile, with the mirror at `url`.
    pub fn make(&self, what: &str, url: &str, more: &[&str]) -> Command {
        self.run(&[&[what, "--profile", "tiny", "--keyring", "keyring.pgp", "--mirror", url], more].concat())
    }

    /// The error of the failed program, from its `--json` output, which is not wrapped to a terminal's width.
    pub fn refused(&self, mut command: Command) -> String {
        let output = command.arg("--json").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let mut events = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let error = events.rfind(|event| event["event"] == "error");
        let error = error.unwrap_or_else(|| panic!("expected an error, found {:?}: {text}", output.status));
        assert_eq!(output.status.code(), Some(1), "{error}");
        let causes = error["causes"].as_array().into_iter().flatten();
        let parts = [&error["message"]].into_iter().chain(causes).filter_map(|part| part.as_str());
        parts.collect::<Vec<_>>().join(": ")
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn lock(&self) -> String {
        self.read("profiles/tiny.lock")
    }

    /// The SHA-256 of a file.
    pub fn sum(&self, path: &str) -> String {
        let bytes = fs::read(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        crate::sha256(&bytes)
    }

    /// Every file and directory below `path` whose name has this prefix.
    pub fn named(&self, path: &str, prefix: &str) -> Vec<PathBuf> {
        let mut found = all(&self.at(path));
        found.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix));
        found
    }
}

/// Every file and directory below `folder`, which need not exist.
pub fn all(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(all(&entry.path()));
        }
        found.push(entry.path());
    }
    found
}
