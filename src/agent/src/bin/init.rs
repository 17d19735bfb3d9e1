//! `/init` of the initramfs: process 1 until systemd is, and the built-in shell, told apart by their names.

use appliance_agent::init;
use appliance_agent::system::machine::BUILT_IN_SHELL;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&name).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if std::process::id() == 1 {
        return init::run();
    }
    if name == BUILT_IN_SHELL {
        return init::run_shell();
    }
    eprintln!("appliance: init runs as process 1 of the initramfs, this is process {}", std::process::id());
    ExitCode::FAILURE
}
