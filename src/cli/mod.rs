//! The command line: `commands/` has a file for each command, `flags/` what commands share of their flags, `report/`
//! what they print.

mod build;
mod commands;
mod flags;
mod report;

use applbuild::identity;
use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
use commands::{
    archive, boot, cache, completions, config, diff, guest, help, init, iso, lock, man, profile, schema, shell, tar,
    test,
};
use flags::common::Common;
use report::failure::{self, Failure};
use report::output;
use serde_json::json;
use std::ffi::OsString;
use std::process::ExitCode;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    the command line is wrong
  3    a profile or another input file is wrong
  4    two images, or two builds of one image, differ; `lock outdated` found newer versions
  130  interrupted";

/// Builds bootable appliance images: one read-only image for all servers, one small config partition for each.
#[derive(Debug, Parser)]
#[command(
    name = "applbuild",
    version = identity::short(),
    long_version = identity::long(),
    after_help = EXIT_CODES,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build a bootable ISO image, for CD, USB stick and disk
    Iso(iso::Arguments),
    /// Build a guest image: a directory from which a host starts virtual machines
    Guest(guest::Arguments),
    /// Build the root file system as an archive (.tar.zst), for containers and tar
    Tar(tar::Arguments),
    /// Open a shell in the configured root of a profile, or run one command there
    Shell(shell::Arguments),
    /// Create or update a profile's lock: the exact packages of its images
    Lock(lock::Arguments),
    /// Archive the packages of locks in a directory, for rebuilds after mirrors have dropped them
    #[command(subcommand)]
    Archive(archive::Command),
    /// Find the first file in which two images differ
    Diff(diff::Arguments),
    /// Show profiles
    #[command(subcommand)]
    Profile(profile::Command),
    /// Boot an image in QEMU, with its console on this terminal
    Boot(boot::Arguments),
    /// Run boot scenarios on an image, in QEMU
    Test(test::Arguments),
    /// Make config partitions
    #[command(subcommand)]
    Config(config::Command),
    /// Create a fleet: the directory that holds every node's config
    Init(init::Arguments),
    /// Show or prune the cache
    Cache(cache::Arguments),
    /// Print the JSON Schema, an example or the reference page of a config file format
    Schema(schema::Arguments),
    /// Print the completion script of a shell
    Completions(completions::Arguments),
    /// Write the manual pages to a directory
    Man(man::Arguments),
    /// Print the help of a command, or a chapter of the documentation
    Help(help::Arguments),
}

/// Runs what the command line asks for.
pub fn run() -> ExitCode {
    // Before the command line is parsed: clap names neither the argument nor what is wrong with it.
    if let Err(failure) = all_utf8() {
        failure.print(asks_for_json());
        return failure.exit_code();
    }
    let command = Cli::command().color(color(std::env::args_os()));
    let cli = match command.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    failure::set_format(cli.common.color);
    output::set_verbosity(cli.common.verbosity());
    let outcome = dispatch(&cli.common, cli.command);
    match outcome {
        Ok(()) if output::write_failed() => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(cli.common.json);
            failure.exit_code()
        }
    }
}

/// Refuses arguments that are not UTF-8: names are printed in events, and passed to other programs.
fn all_utf8() -> Result<(), Failure> {
    match std::env::args_os().find(|argument| argument.to_str().is_none()) {
        Some(found) => Err(Failure::usage(format!("found the argument {found:?}, expected UTF-8"))),
        None => Ok(()),
    }
}

fn dispatch(common: &Common, command: Command) -> Result<(), Failure> {
    match command {
        Command::Iso(arguments) => iso::run(common, arguments),
        Command::Guest(arguments) => guest::run(common, arguments),
        Command::Tar(arguments) => tar::run(common, arguments),
        Command::Shell(arguments) => shell::run(common, arguments),
        Command::Lock(arguments) => lock::run(common, arguments),
        Command::Archive(command) => archive::run(common, command),
        Command::Diff(arguments) => diff::run(common, &arguments),
        Command::Profile(command) => profile::run(common, command),
        Command::Boot(arguments) => boot::run(common, &arguments),
        Command::Test(arguments) => test::run(common, &arguments),
        Command::Config(command) => config::run(common, command),
        Command::Init(arguments) => init::run(common, &arguments),
        Command::Cache(arguments) => cache::run(common, arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
        Command::Help(arguments) => help::run(&arguments),
    }
}

/// Whether `--json` is given, where the command line is not parsed.
fn asks_for_json() -> bool {
    std::env::args_os().any(|argument| argument == "--json")
}

/// The value of `--color`. Help texts and usage errors need it before the command line is parsed.
fn color(arguments: impl Iterator<Item = OsString>) -> ColorChoice {
    let mut color = ColorChoice::Auto;
    let mut arguments = arguments.take_while(|argument| argument != "--");
    while let Some(argument) = arguments.next() {
        let value = match argument.to_str().and_then(|argument| argument.strip_prefix("--color")) {
            Some("") => arguments.next().and_then(|value| value.into_string().ok()),
            Some(rest) => rest.strip_prefix('=').map(str::to_owned),
            None => None,
        };
        // The parser refuses an invalid value later.
        color = value.and_then(|value| value.parse().ok()).unwrap_or(color);
    }
    color
}

/// Prints clap's output: help and versions as text, errors as JSON with `--json`.
fn refused(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || !asks_for_json() {
        error.exit();
    }
    let text = error.render().to_string();
    output::event("error", json!({"message": text.trim().trim_start_matches("error: "), "causes": []}));
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_color_is_known_before_the_command_line_is_parsed() {
        let of = |line: &str| color(line.split(' ').map(OsString::from));
        assert_eq!(of("applbuild iso"), ColorChoice::Auto);
        assert_eq!(of("applbuild --color never iso"), ColorChoice::Never);
        assert_eq!(of("applbuild iso --color=always"), ColorChoice::Always);
        assert_eq!(of("applbuild iso --color=pink --colors"), ColorChoice::Auto);
        assert_eq!(of("applbuild shell -- ls --color=always"), ColorChoice::Auto);
    }
}
