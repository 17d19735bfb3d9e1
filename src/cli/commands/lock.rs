use crate::cli::flags::common::Common;
use crate::cli::flags::environment::source_date_epoch;
use crate::cli::flags::lock::own;
use crate::cli::flags::sources::{PackageSources, Sources, now};
use crate::cli::report;
use crate::cli::report::failure::Failure;
use crate::cli::report::output;
use crate::cli::report::progress::Reporter;
use applbuild::output::default_kind;
use applbuild::packages::Lock;
use applbuild::packages::lock::{Changes, LockError};
use applbuild::pipeline::{self, BuildRequest, LockChoice, LockOutcome, Update};
use applbuild::profile::{Library, Profile};
use applbuild::sandbox;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The profile to lock
    #[arg(long, value_name = "NAME", required = true)]
    profile: Option<String>,
    /// Update these packages and their dependencies to the versions in the archives now; without names, all packages
    #[arg(long, value_name = "PACKAGE", num_args = 0..)]
    update: Option<Vec<String>>,
    #[command(flatten)]
    sources: Sources,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the locked packages that have newer versions in the archives; exit code 4 if there are some
    Outdated {
        /// The profile whose lock is compared
        #[arg(long, value_name = "NAME")]
        profile: String,
        /// Compare this lock [default: profiles/NAME.lock]
        #[arg(long, value_name = "FILE")]
        lock: Option<PathBuf>,
        /// Only versions in security suites
        #[arg(long)]
        security: bool,
        #[command(flatten)]
        sources: Box<Sources>,
    },
    /// Print the differences between two locks: packages, sets, users and suites
    Diff {
        /// The older lock
        old: PathBuf,
        /// The newer lock
        new: PathBuf,
    },
}

pub fn run(common: &Common, arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Some(Command::Diff { old, new }) => {
            report::lock::print(common, &Changes::between(&read(&old)?, &read(&new)?));
            return Ok(());
        }
        Some(Command::Outdated { profile, lock, security, sources }) => {
            return outdated(common, &profile, lock, security, *sources);
        }
        None => {}
    }
    // Clap requires `--profile` when there is no subcommand.
    let name = arguments.profile.unwrap_or_default();
    let profile = Library::new(&common.root).load(&name)?;
    let update = match arguments.update {
        None => Update::Needed,
        Some(names) if names.is_empty() => Update::All,
        Some(names) => Update::Packages(names),
    };
    let path = own(common, &profile);
    let request = request(common, profile, LockChoice::Own { path: path.clone(), update }, arguments.sources)?;
    // Must come before the first thread starts; the progress bars start one.
    sandbox::enter_user_namespace().map_err(Failure::plain)?;
    crate::cli::report::interrupt::watch(common.json)?;
    let reporter = Reporter::new(common.json);
    let outcome = pipeline::lock(request, &reporter);
    reporter.finish();
    let outcome = outcome?;
    if outcome == LockOutcome::Unchanged && !common.json {
        output::result(format_args!("{}: is up to date\n", path.display()));
    }
    report::lock::print_outcome(common, &path, &outcome);
    Ok(())
}

/// The exit code if the archives have newer versions.
const OUTDATED: u8 = 4;

fn outdated(
    common: &Common,
    profile: &str,
    lock: Option<PathBuf>,
    security: bool,
    sources: Sources,
) -> Result<(), Failure> {
    let profile = Library::new(&common.root).load(profile)?;
    let lock = LockChoice::Exactly(lock.unwrap_or_else(|| own(common, &profile)));
    let request = request(common, profile, lock, sources)?;
    let reporter = Reporter::new(common.json);
    let found = pipeline::outdated(&request, security, &reporter);
    reporter.finish();
    let found = found?;
    report::lock::print_outdated(common, &found);
    if found.is_empty() { Ok(()) } else { Err(Failure::Ended(OUTDATED)) }
}

/// A request to make or compare the lock of a profile.
fn request(common: &Common, profile: Profile, lock: LockChoice, sources: Sources) -> Result<BuildRequest, Failure> {
    let PackageSources { archives, keyring, cache, client, allow_older } = sources.find(&profile)?;
    Ok(BuildRequest {
        kind: default_kind(profile.kind),
        profile,
        archives,
        keyring,
        cache,
        client: Arc::new(client),
        lock,
        allow_older,
        now: now(),
        source_date_epoch: source_date_epoch()?,
        templates: None,
        output: common.root.join("images"),
        replace: false,
    })
}

fn read(path: &Path) -> Result<Lock, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::reading(path, error))?;
    Lock::parse(&text).map_err(|source| Failure::input(InFile { path: path.to_owned(), source }))
}

#[derive(Debug, thiserror::Error)]
#[error("reading the lock {}", path.display())]
struct InFile {
    path: PathBuf,
    source: LockError,
}
