//! External programs that verify the written files; tests start them only through this module.

use std::path::PathBuf;
use std::process::Command;

/// Debian's default PATH of an ordinary user lacks these directories.
const MORE_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The pairs of program and package that ci/setup installs.
const SETUP: &str = include_str!("../../ci/setup");

/// A command that runs `program`, which the tests require. If it is missing, the panic says what to install.
#[track_caller]
pub fn judge(program: &str) -> Command {
    let pair = |line: &'static str| line.trim().strip_prefix(program)?.strip_prefix(':');
    let package = SETUP.lines().find_map(pair).unwrap_or_else(|| panic!("ci/setup does not install {program}"));
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(MORE_FOLDERS.map(PathBuf::from));
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    let file = found.unwrap_or_else(|| panic!("{program} is not installed: sudo apt-get install {package}"));
    let mut command = Command::new(file);
    // Some of these programs start others in the same directories.
    command.env("PATH", format!("{path}:{}", MORE_FOLDERS.join(":"))).env("LC_ALL", "C");
    command
}
