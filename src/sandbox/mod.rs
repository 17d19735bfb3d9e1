//! Runs other programs in user, mount, PID, network, UTS, IPC and cgroup namespaces. No other module of the build does.
//!
//! There are two layers. [`enter_user_namespace`] moves the whole build into a user namespace in which it is uid 0 over
//! 65,536 ids, so that files get their owners without root's rights. [`run`] starts one program with a directory as its
//! root. Both need a process without threads, so they re-execute this binary with another `argv[0]`: `main` calls
//! [`dispatch`] first.

mod command;
mod error;
mod ids;
mod inside;
mod mounts;
mod no_sync;
mod outer;
mod overlay;
mod protocol;
mod run;
mod tail;

pub use command::{Bind, Command, Exit, Output};
pub use error::SandboxError;
pub use outer::{enter_user_namespace, set_hostname};
pub use overlay::{mount_overlay, mount_tmpfs, unmount};
pub use run::{run, run_attached, run_with};

use std::process::ExitCode;

/// If the sandbox started this process as one of its helpers, does the helper's work and returns the exit code; `None`
/// in a process that a user started. Must be called first in `main`, while there is one thread.
pub fn dispatch() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    match name.to_str()? {
        protocol::MAP_IDS => Some(outer::map_ids()),
        protocol::SPAWN => Some(inside::spawn()),
        protocol::INIT => Some(inside::init()),
        _ => None,
    }
}
