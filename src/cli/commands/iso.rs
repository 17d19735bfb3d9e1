use crate::cli::build;
use crate::cli::commands::boot;
use crate::cli::flags::build::Arguments as BuildArguments;
use crate::cli::flags::common::Common;
use crate::cli::report::failure::Failure;
use crate::cli::report::interrupt;
use crate::cli::report::output;
use applbuild::output::Iso;
use applbuild::pipeline::Built;
use applbuild::{fleet, qemu};
use appliance_contract::causes::WithCauses as _;
use std::path::Path;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    build: BuildArguments,
    /// Boot the image in QEMU, if QEMU is installed, with the config of a new fleet and root logged in
    #[arg(long, conflicts_with = "json")]
    boot: bool,
}

pub fn run(common: &Common, arguments: Arguments) -> Result<(), Failure> {
    let built = build::run(common, arguments.build, &Iso)?;
    if !common.json {
        output::result(next(&built));
    }
    if arguments.boot && qemu::find().is_ok() { try_out(common, &built.path) } else { Ok(()) }
}

/// Boots the image with a config as `applbuild init` lays it out, and root logged in on the console.
fn try_out(common: &Common, image: &Path) -> Result<(), Failure> {
    // The folder is to go, whatever ends the machine.
    interrupt::stop(common.json)?;
    let folder = tempfile::tempdir().map_err(|error| Failure::writing(&std::env::temp_dir(), error))?;
    let fleet = folder.path().join("fleet");
    fleet::init_trial(&fleet).map_err(Failure::from_fleet)?;
    boot::run(common, &boot::Arguments::plain(image.to_owned(), fleet))
}

/// What to type next.
fn next(built: &Built) -> String {
    let (program, image) = (output::program(), built.path.display());
    // The error says what to install.
    let lacks = qemu::find().err().map(|error| format!("; {}", error.with_causes())).unwrap_or_default();
    match built.initramfs_size {
        // What the agent boots asks for a config.
        Some(_) => format!("next: {program} init fleet\n      {program} boot {image} --config fleet{lacks}\n"),
        None => format!("next: {program} boot {image}{lacks}\n"),
    }
}
