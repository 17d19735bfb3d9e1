//! PID 1 of the initramfs, and the `appliance` command of the running node: one program, told apart by its name.

use appliance_agent::linux::Linux;
use appliance_agent::machine::{Machine, Places};
use appliance_agent::{commands, init, shell};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&name).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if std::process::id() == 1 {
        return init::run();
    }
    match name {
        "init" => {
            eprintln!("appliance: init runs as process 1 of the initramfs, this is process {}", std::process::id());
            ExitCode::FAILURE
        }
        shell::PROGRAM => init::run_shell(),
        _ => command(),
    }
}

fn command() -> ExitCode {
    let root = Path::new("/");
    let machine = Linux::new(Places::below(root));
    let mapped_status = |name: &str| machine.mapped_status(name);
    let world = commands::World { root, mapped_status: &mapped_status };
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let (mut out, mut errors) = (std::io::stdout().lock(), std::io::stderr().lock());
    commands::run(&arguments, &world, &mut out, &mut errors).into()
}
