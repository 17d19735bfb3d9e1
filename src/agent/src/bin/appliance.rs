//! The `appliance` command of the running node.

use appliance_agent::commands;
use appliance_agent::linux::Linux;
use appliance_agent::machine::{Machine, Places};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = Path::new("/");
    let machine = Linux::new(Places::below(root));
    let mapped_status = |name: &str| machine.mapped_status(name);
    let world = commands::World { root, mapped_status: &mapped_status };
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let (mut out, mut errors) = (std::io::stdout().lock(), std::io::stderr().lock());
    commands::run(&arguments, &world, &mut out, &mut errors).into()
}
