//! A machine whose console is the user's terminal.

use super::{Machine, QemuError};
use std::path::Path;
use std::process::{Command, ExitStatus};

/// Runs `machine` until it goes off or the user ends it (Ctrl-A, then x).
pub fn run(qemu: &Path, machine: &Machine) -> Result<ExitStatus, QemuError> {
    let folder = tempfile::tempdir().map_err(QemuError::file("making a folder in", std::env::temp_dir()))?;
    let mut arguments = machine.command(folder.path())?;
    arguments.extend(["-serial".into(), "mon:stdio".into()]);
    Command::new(qemu).args(arguments).status().map_err(|source| QemuError::Start { source })
}
