//! `applbuild shell`: a shell, or one command, in the configured root of a profile.

use crate::cli::flags::build::{self, Target};
use crate::cli::flags::common::Common;
use crate::cli::report::failure::Failure;
use crate::cli::report::interrupt;
use crate::cli::report::progress::Reporter;
use applbuild::output::Tar;
use applbuild::sandbox::Exit;
use applbuild::{pipeline, sandbox};
use std::ffi::OsString;

const DETAILS: &str = "\
The root holds the profile's packages after their maintainer scripts, without the profile's overlay.
The sandbox has no network. All changes are lost when the command ends. The exit code is that of
the command.
  applbuild shell --profile host
  applbuild shell --profile host -- dpkg --list";

#[derive(Debug, clap::Args)]
#[command(after_help = DETAILS)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// The command to run [default: a shell]
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub fn run(common: &Common, arguments: Arguments) -> Result<(), Failure> {
    let request = build::request(common, arguments.target, &Tar)?;
    // Before anything begins a thread: bars do.
    sandbox::enter_user_namespace().map_err(Failure::plain)?;
    interrupt::watch(common.json)?;
    let reporter = Reporter::new(common.json);
    let exit = pipeline::shell(request, &arguments.command, &reporter, || drop(reporter.finish()))?;
    match exit {
        Exit::Code(0) => Ok(()),
        Exit::Code(code) => Err(Failure::Ended(u8::try_from(code).unwrap_or(1))),
        Exit::Signal(_) => Err(Failure::text(format!("the command ended by {exit}"))),
    }
}
