use super::failure::Failure;
use super::progress::Reporter;
use super::sources::{Place, Sources};
use super::{Common, output};
use applbuild::output::default_kind;
use applbuild::packages::Lock;
use applbuild::packages::lock::{Change, Changes, LockError};
use applbuild::pipeline::{self, BuildRequest, LockChoice, LockOutcome, Outdated, Update};
use applbuild::profile::{Library, Profile};
use applbuild::sandbox;
use serde_json::json;
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
    /// Take what the archives have now: of these packages and what they cannot do without, or of all
    #[arg(long, value_name = "PACKAGE", num_args = 0..)]
    update: Option<Vec<String>>,
    #[command(flatten)]
    sources: Sources,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say which packages, sets, users and suites are other in a lock than in an older one
    Diff {
        /// The older lock
        old: PathBuf,
        /// The newer lock
        new: PathBuf,
    },
    /// Say which packages of a lock the archives have in newer versions; the exit code is 4 where there are some
    Outdated {
        /// The profile whose lock it is
        #[arg(long, value_name = "NAME")]
        profile: String,
        /// Another lock than profiles/NAME.lock
        #[arg(long, value_name = "FILE")]
        lock: Option<PathBuf>,
        /// Only what security suites have
        #[arg(long)]
        security: bool,
        #[command(flatten)]
        sources: Box<Sources>,
    },
}

/// Flags that choose the lock of a build.
#[derive(Debug, clap::Args)]
pub struct WhichLock {
    /// Build from exactly this lock, and change none [default: profiles/NAME.lock, which is made where it is missing
    /// and brought up to date where the profile has moved past it]
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Fail where profiles/NAME.lock would be made or changed
    #[arg(long, conflicts_with = "lock")]
    locked: bool,
}

impl WhichLock {
    pub fn choose(self, common: &Common, profile: &Profile) -> LockChoice {
        let own = own(common, profile);
        match self.lock {
            Some(path) => LockChoice::Exactly(path),
            None if self.locked => LockChoice::Exactly(own),
            None => LockChoice::Own { path: own, update: Update::Needed },
        }
    }
}

fn own(common: &Common, profile: &Profile) -> PathBuf {
    common.root.join("profiles").join(format!("{}.lock", profile.name))
}

pub fn run(common: &Common, arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Some(Command::Diff { old, new }) => {
            print(common, &Changes::between(&read(&old)?, &read(&new)?));
            return Ok(());
        }
        Some(Command::Outdated { profile, lock, security, sources }) => {
            return outdated(common, &profile, lock, security, *sources);
        }
        None => {}
    }
    // Clap lets nobody come here without one.
    let name = arguments.profile.unwrap_or_default();
    let profile = Library::new(&common.root).load(&name)?;
    let update = match arguments.update {
        None => Update::Needed,
        Some(names) if names.is_empty() => Update::All,
        Some(names) => Update::Packages(names),
    };
    let path = own(common, &profile);
    let request = request(common, profile, LockChoice::Own { path: path.clone(), update }, arguments.sources)?;
    // Before anything begins a thread: bars do.
    sandbox::enter_user_namespace().map_err(Failure::plain)?;
    super::interrupt::watch(common.json)?;
    let reporter = Reporter::new(common.json);
    let outcome = pipeline::lock(request, &reporter);
    reporter.finish();
    let outcome = outcome?;
    if outcome == LockOutcome::Unchanged && !common.json {
        output::text(format_args!("{}: is up to date\n", path.display()));
    }
    report(common, &path, &outcome);
    Ok(())
}

/// The request for what the lock of a profile is made or looked at by.
fn request(common: &Common, profile: Profile, lock: LockChoice, sources: Sources) -> Result<BuildRequest, Failure> {
    let Place { archives, keyring, cache, client, allow_older } =
        sources.find(profile.all_archives().map_err(Failure::input)?)?;
    Ok(BuildRequest {
        kind: default_kind(profile.kind),
        profile,
        archives,
        keyring,
        cache,
        client: Arc::new(client),
        lock,
        allow_older,
        now: super::sources::now(),
        source_date_epoch: super::source_date_epoch()?,
        templates: None,
        output: common.root.join("images"),
        replace: false,
    })
}

/// The exit code where the archives have something newer.
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
    for Outdated { guest, name, locked, newest, archive, suite, security } in &found {
        if common.json {
            let fields = json!({
                "guest": guest, "name": name, "locked": locked, "newest": newest, "archive": archive, "suite": suite,
                "security": security,
            });
            output::event("outdated", fields);
        } else {
            let guest = guest.as_ref().map(|guest| format!("{guest}: ")).unwrap_or_default();
            let urgent = if *security { ", security" } else { "" };
            output::text(format_args!("  {guest}{name}: {locked}, newest {newest} ({archive} {suite}{urgent})\n"));
        }
    }
    let urgent = found.iter().filter(|outdated| outdated.security).count();
    if !common.json {
        output::text(format_args!("outdated: {}, in security suites: {urgent}\n", found.len()));
    }
    if found.is_empty() { Ok(()) } else { Err(Failure::Ended(OUTDATED)) }
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

/// Tells what became of the profile's lock.
pub fn report(common: &Common, path: &Path, outcome: &LockOutcome) {
    let what = match outcome {
        LockOutcome::Unchanged => "unchanged",
        LockOutcome::Made => "made",
        LockOutcome::Changed(_) => "changed",
    };
    if common.json {
        output::event("lock", json!({"path": path, "outcome": what}));
    } else if *outcome != LockOutcome::Unchanged {
        output::text(format_args!("{}: {what}\n", path.display()));
    }
    if let LockOutcome::Changed(changes) = outcome {
        print(common, changes);
    }
}

fn print(common: &Common, changes: &Changes) {
    print_of(common, None, changes);
    for (name, changes) in &changes.guests {
        print_of(common, Some(name), changes);
    }
}

fn print_of(common: &Common, guest: Option<&str>, changes: &Changes) {
    for (kind, list) in changes.lists() {
        for (name, change) in list {
            let text = shown(kind, change);
            if common.json {
                let fields = json!({"guest": guest, "of": kind, "name": name, "change": change.name(), "text": text});
                output::event("lock-change", fields);
            } else {
                let guest = guest.map(|guest| format!("{guest}: ")).unwrap_or_default();
                output::text(format_args!("  {guest}{kind} {name}: {text}\n"));
            }
        }
    }
}

/// Suites change by the date of their Release files.
fn shown(kind: &str, change: &Change) -> String {
    let date = |seconds: &String| {
        let moment = seconds.parse().ok().and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok());
        moment.map_or_else(
            || seconds.clone(),
            |moment| format!("{} {:02}:{:02} UTC", moment.date(), moment.hour(), moment.minute()),
        )
    };
    match change {
        Change::Upgraded { from, to } if kind == "suite" => format!("from {} to {}", date(from), date(to)),
        Change::Downgraded { from, to } if kind == "suite" => format!("back from {} to {}", date(from), date(to)),
        Change::Added { to } if kind == "suite" => format!("added, of {}", date(to)),
        Change::Removed { from } if kind == "suite" => format!("removed, of {}", date(from)),
        other => other.to_string(),
    }
}
