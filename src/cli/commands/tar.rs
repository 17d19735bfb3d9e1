//! `applbuild tar`: the root file system as an archive.

use crate::cli::build;
use crate::cli::flags::build::Arguments as BuildArguments;
use crate::cli::flags::common::Common;
use crate::cli::report::failure::Failure;
use crate::cli::report::output;
use applbuild::output::Tar;

const DETAILS: &str = "\
The archive holds the root file system as an image has it: owners, modes, extended attributes,
hard links and devices. Its manifest, bill of materials, lock and checksums lie beside it.
  podman import FILE NAME
  tar --extract --file FILE --xattrs --xattrs-include='*' --numeric-owner --directory DIR";

#[derive(Debug, clap::Args)]
#[command(after_help = DETAILS)]
pub struct Arguments {
    #[command(flatten)]
    build: BuildArguments,
}

pub fn run(common: &Common, arguments: Arguments) -> Result<(), Failure> {
    let name = arguments.build.target.profile.clone();
    let built = build::run(common, arguments.build, &Tar)?;
    if !common.json {
        output::result(format_args!("next: podman import {} {name}\n", built.path.display()));
    }
    Ok(())
}
