//! User, mount, PID, network, UTS, IPC and cgroup namespaces: the only place
//! that runs other programs.
//!
//! Two layers. [`enter_user_namespace`] puts the whole build where it is uid 0
//! over 65,536 ids, so that files get their owners without root's rights.
//! [`run`] starts one program inside a folder that becomes its whole world.
//! Both need a process that has not begun threads, so they re-execute this very
//! binary under another `argv[0]`: `main` calls [`dispatch`] before all else.

#![warn(missing_docs)]

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
pub use outer::{enter_user_namespace, name_host};
pub use overlay::{lay_over, memory_at, take_off};
pub use run::{run, run_attached, run_with};

use std::process::ExitCode;

/// Ends at once, with the code to exit with, where this process was started by
/// the sandbox to be one of its helpers; `None` in a program that a user started.
/// To be called first in `main`, while there is one thread.
pub fn dispatch() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    match name.to_str()? {
        protocol::MAP_IDS => Some(outer::map_ids()),
        protocol::SPAWN => Some(inside::spawn()),
        protocol::INIT => Some(inside::init()),
        _ => None,
    }
}
