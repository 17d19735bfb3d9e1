//! Starts QEMU so that it is terminated when its parent process ends for any reason.
//!
//! The kernel's parent-death signal (prctl(2), PR_SET_PDEATHSIG) is preserved across exec, but must be set between fork
//! and exec. This program starts itself with another `argv[0]`, sets the signal and executes QEMU: `main` calls
//! [`dispatch`] first.

use crate::util::self_exe;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use std::ffi::OsString;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::{Command, ExitCode};

const NAME: &str = "applbuild-qemu";

/// QEMU with these arguments. The thread that starts it must outlive it, because the kernel sends the signal when that
/// thread ends.
pub fn command(qemu: &Path, arguments: &[OsString]) -> Command {
    let mut command = self_exe::command();
    command.arg0(NAME).arg(std::process::id().to_string()).arg(qemu).args(arguments);
    command
}

/// Executes QEMU if [`command`] started this process; otherwise returns `None`.
pub fn dispatch() -> Option<ExitCode> {
    let mut words = std::env::args_os();
    if words.next()? != NAME {
        return None;
    }
    let parent: u32 = words.next()?.to_str()?.parse().ok()?;
    let qemu = words.next()?;
    // SIGTERM, because QEMU then restores the terminal's settings.
    if let Err(error) = prctl::set_pdeathsig(Signal::SIGTERM) {
        eprintln!("setting the parent-death signal: {error}");
        return Some(ExitCode::FAILURE);
    }
    // The parent may have ended before the signal was set.
    if parent_id() != parent {
        return Some(ExitCode::FAILURE);
    }
    let error = Command::new(&qemu).args(words).exec();
    eprintln!("starting {}: {error}", qemu.display());
    Some(ExitCode::FAILURE)
}
