//! This very program, started once more.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::OnceLock;

/// Its file. Not by name, under which another may have been put meanwhile.
pub const PATH: &str = "/proc/self/exe";

/// Starts it once more. By a descriptor: under valgrind, which counts what a build does, [`PATH`] is this program to
/// who opens it, and valgrind itself to who executes it.
pub fn command() -> Command {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    match FILE.get_or_init(|| File::open(PATH).ok()) {
        Some(file) => Command::new(format!("/proc/self/fd/{}", file.as_raw_fd())),
        None => Command::new(PATH),
    }
}
