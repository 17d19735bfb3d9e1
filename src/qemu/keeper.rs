//! Starts QEMU so that it ends with the process that wanted it, however that one ends.
//!
//! The kernel's parent-death signal (prctl(2), PR_SET_PDEATHSIG) outlives exec,
//! but must be asked for between fork and exec. This very binary does so, under
//! another `argv[0]`, and then becomes QEMU: `main` calls [`dispatch`] first.

use crate::util::self_exe;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use std::ffi::OsString;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::{Command, ExitCode};

const NAME: &str = "applbuild-qemu";

/// QEMU with these arguments. The thread that starts it must outlive it: the kernel counts a thread's end as the parent's.
pub fn command(qemu: &Path, arguments: &[OsString]) -> Command {
    let mut command = self_exe::command();
    command.arg0(NAME).arg(std::process::id().to_string()).arg(qemu).args(arguments);
    command
}

/// Becomes QEMU where this process was started for that; `None` in a program that a user started.
pub fn dispatch() -> Option<ExitCode> {
    let mut words = std::env::args_os();
    if words.next()? != NAME {
        return None;
    }
    let parent: u32 = words.next()?.to_str()?.parse().ok()?;
    let qemu = words.next()?;
    // SIGTERM, for QEMU then gives the terminal its settings back.
    if let Err(error) = prctl::set_pdeathsig(Signal::SIGTERM) {
        eprintln!("asking to end with applbuild: {error}");
        return Some(ExitCode::FAILURE);
    }
    // It may have ended before the signal was asked for.
    if parent_id() != parent {
        return Some(ExitCode::FAILURE);
    }
    let error = Command::new(&qemu).args(words).exec();
    eprintln!("starting {}: {error}", qemu.display());
    Some(ExitCode::FAILURE)
}
