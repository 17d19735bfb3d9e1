//! The `appliance` command of the running node, and the systemd generator of its guests, told apart by their names.

use appliance_agent::system::linux::Linux;
use appliance_agent::system::machine::{Machine, Places};
use appliance_agent::system::programs::Real;
use appliance_agent::system::world::World;
use appliance_agent::{commands, generator};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    if Path::new(&name).file_name().is_some_and(|name| name == generator::PROGRAM) {
        generate();
        return ExitCode::SUCCESS;
    }
    command()
}

/// Never fails: a boot goes on without guests.
fn generate() {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    for fault in generator::run(Path::new("/"), &arguments) {
        // There is no journal yet; a priority of 3 is an error's (syslog(3)).
        let line = format!("<3>{}: {fault}\n", generator::PROGRAM);
        let _ = fs::OpenOptions::new().write(true).open("/dev/kmsg").and_then(|mut log| log.write_all(line.as_bytes()));
    }
}

fn command() -> ExitCode {
    let root = Path::new("/");
    let machine = Linux::new(Places::below(root));
    let mapped_status = |name: &str| machine.mapped_status(name);
    let world = World { root, mapped_status: &mapped_status, programs: &Real, clock: &SystemTime::now };
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let (mut out, mut errors) = (std::io::stdout().lock(), std::io::stderr().lock());
    commands::run(&arguments, &world, &mut out, &mut errors).into()
}
