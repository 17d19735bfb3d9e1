//! Re-executes this program.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::OnceLock;

/// The program's file. Not its name on disk, which may have been replaced meanwhile.
pub const PATH: &str = "/proc/self/exe";

/// A command that runs this program again, by a descriptor: under valgrind, which counts a build's instructions,
/// [`PATH`] is this program when opened, but valgrind itself when executed.
pub fn command() -> Command {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    match FILE.get_or_init(|| File::open(PATH).ok()) {
        Some(file) => Command::new(format!("/proc/self/fd/{}", file.as_raw_fd())),
        None => Command::new(PATH),
    }
}
