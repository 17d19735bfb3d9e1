//! A machine whose console is the user's terminal.

use super::{Machine, QemuError, keeper};
use crate::util::file_error::At as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often it is looked whether the machine has ended, or is to.
const LOOK: Duration = Duration::from_millis(100);

/// Runs `machine` until it goes off, the user ends it (Ctrl-A, then x) or `stop` is set.
pub fn run(qemu: &Path, machine: &Machine, stop: &AtomicBool) -> Result<ExitStatus, QemuError> {
    let folder = tempfile::tempdir().at("making a folder in", std::env::temp_dir())?;
    let mut arguments = machine.command(folder.path())?;
    arguments.extend(["-serial".into(), "mon:stdio".into()]);
    let failed = |source| QemuError::Start { source };
    let mut child = keeper::command(qemu, &arguments).spawn().map_err(failed)?;
    while !stop.load(Ordering::Relaxed) {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(status);
        }
        std::thread::sleep(LOOK);
    }
    // Not SIGKILL: QEMU gives the terminal its settings back first.
    if let Ok(pid) = i32::try_from(child.id()) {
        // It may have ended by itself; nothing is left to do then.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    child.wait().map_err(failed)
}
