//! `appliance guest …`.

use super::guest_text::{self, MEMORY_ONLY};
use super::{CommandError, DIFFERS, OK, World, console, usage};
use crate::guests::definitions::Guest;
use crate::guests::definitions::lookup::{self, ConfigError};
use crate::guests::hypervisor::launch::LaunchError;
use crate::guests::image;
use crate::guests::overview::{self, Overview, Versions};
use crate::guests::start::checks::CheckError;
use crate::guests::start::prepare::PrepareError;
use crate::guests::state::State;
use crate::guests::supervise::notify::Notify;
use crate::guests::supervise::run::{self as supervisor, RunError, Supervision};
use crate::guests::supervise::watch::Signals;
use crate::guests::unit::{self, REFUSED};
use crate::system::boot_record;
use crate::system::linux::Linux;
use crate::system::machine::Places;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::Write;

const WORDS: &[&str] = &["list", "show", "start", "stop", "restart", "console", "update", "rollback"];

pub fn run(world: &World<'_>, arguments: &[&str], out: &mut dyn Write) -> Result<u8, CommandError> {
    match arguments {
        ["list"] => list(world, false, out),
        ["list", "--json"] => list(world, true, out),
        ["show", name] => show(world, name, false, out),
        ["show", name, "--json"] | ["show", "--json", name] => show(world, name, true, out),
        [verb @ ("start" | "stop" | "restart"), name] => {
            let _ = find(world, name)?;
            systemctl(world, name, verb)?;
            Ok(OK)
        }
        ["console", name] => {
            let _ = find(world, name)?;
            console::run(world, name, out).map_err(|error| guest_error(name, error)).map(|()| OK)
        }
        ["update", name] => update(world, name, None, out),
        ["update", name, version] => update(world, name, Some(version), out),
        // The former name, for existing scripts; help does not list it.
        ["upgrade", rest @ ..] => run(world, &[&["update"], rest].concat(), out),
        ["rollback", name] => rollback(world, name, out),
        [word] if WORDS.contains(word) => Err(usage("", "the name of a guest", &[])),
        [word, _, rest @ ..] if WORDS.contains(word) => Err(usage(&rest.join(" "), "nothing more", &[])),
        other => {
            let expected = "list, show, start, stop, restart, console, update or rollback";
            Err(usage(other.first().unwrap_or(&""), expected, WORDS))
        }
    }
}

fn guest_error(name: &str, error: impl Display) -> CommandError {
    CommandError::Guest { name: name.to_owned(), reason: error.to_string() }
}

/// The main process of a guest's unit.
pub fn supervise(world: &World<'_>, name: &str, out: &mut dyn Write) -> Result<u8, CommandError> {
    let machine = Linux::new(Places::new(world.root));
    let signals = Signals::catch().map_err(|error| guest_error(name, format!("catching signals: {error}")))?;
    let socket = std::env::var("NOTIFY_SOCKET").ok();
    let notify =
        Notify::new(socket.as_deref()).map_err(|error| guest_error(name, format!("NOTIFY_SOCKET: {error}")))?;
    let supervision = Supervision { world, machine: &machine, signals: &signals, notify: &notify };
    match supervisor::run(&supervision, name, out) {
        Ok(()) => Ok(OK),
        Err(error) if is_refusal(&error) => {
            Err(CommandError::Refused { name: name.to_owned(), reason: error.to_string() })
        }
        Err(error) => Err(guest_error(name, error)),
    }
}

fn is_refusal(error: &RunError) -> bool {
    use RunError::{Config, Launch, Prepare, State, Supervised};
    // A command that timed out may succeed at the next attempt.
    if matches!(error, Prepare(PrepareError::Check(CheckError::MemoryUnknown { .. }))) {
        return false;
    }
    matches!(error, Config(_) | Prepare(_) | State(_) | Supervised(_) | Launch(LaunchError::Template(_)))
}

fn list(world: &World<'_>, json: bool, out: &mut dyn Write) -> Result<u8, CommandError> {
    let all = all(world)?;
    if json {
        write_json(&all, out)?;
    } else if all.is_empty() {
        writeln!(out, "the config lists no guests: it has no local/domUs/NAME/guest.toml")?;
    } else {
        out.write_all(guest_text::table(&all).as_bytes())?;
    }
    Ok(if all.iter().all(Overview::is_healthy) { OK } else { DIFFERS })
}

fn all(world: &World<'_>) -> Result<Vec<Overview>, CommandError> {
    let path = appliance_contract::guest::DIRECTORY.into();
    overview::all(world).map_err(|error| CommandError::Read { path, error })
}

fn write_json(value: &impl serde::Serialize, out: &mut dyn Write) -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    Ok(writeln!(out, "{text}")?)
}

/// Loads a guest of the config: valid, or refused with a reason.
fn find(world: &World<'_>, name: &str) -> Result<Result<Guest, String>, CommandError> {
    match lookup::load(world, name) {
        Ok(guest) => Ok(Ok(guest)),
        Err(ConfigError::Refused(reason)) => Ok(Err(reason)),
        Err(error) => Err(guest_error(name, error)),
    }
}

fn find_valid(world: &World<'_>, name: &str) -> Result<Guest, CommandError> {
    find(world, name)?.map_err(|reason| guest_error(name, reason))
}

#[derive(serde::Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    overview: &'a Overview,
    versions: Option<&'a Versions>,
    /// Whether the selection is lost at the next boot.
    var_in_memory: bool,
}

fn show(world: &World<'_>, name: &str, json: bool, out: &mut dyn Write) -> Result<u8, CommandError> {
    let guest = find(world, name)?.ok();
    let versions = guest.map(|guest| overview::versions(world, &guest)).transpose();
    let versions = versions.map_err(|error| guest_error(name, error))?;
    let all = all(world)?;
    let Some(overview) = all.iter().find(|one| one.name == name) else { return Err(guest_error(name, "it is gone")) };
    let memory_only = in_memory(world);
    if json {
        write_json(&Shown { overview, versions: versions.as_ref(), var_in_memory: memory_only }, out)?;
    } else {
        out.write_all(guest_text::show(overview, versions.as_ref(), memory_only).as_bytes())?;
    }
    Ok(if overview.is_healthy() { OK } else { DIFFERS })
}

fn in_memory(world: &World<'_>) -> bool {
    boot_record::find(world.root).is_some_and(|record| record.var == "image")
}

/// Changes the state and restarts the guest if it runs.
fn change(
    world: &World<'_>,
    name: &str,
    out: &mut dyn Write,
    change: impl FnOnce(&mut State, u64) -> Result<String, CommandError>,
) -> Result<u8, CommandError> {
    let mut state = State::load(world, name).map_err(|error| guest_error(name, error))?;
    let said = change(&mut state, world.now())?;
    state.save(world, name).map_err(|error| guest_error(name, error))?;
    writeln!(out, "{said}")?;
    if in_memory(world) {
        writeln!(out, "{MEMORY_ONLY}")?;
    }
    if crate::guests::status::is_supervised(world, name) {
        systemctl(world, name, "restart")?;
        writeln!(out, "guest {name} is starting from it; see appliance guest show {name}")?;
    } else {
        writeln!(out, "guest {name} is not running; it takes effect at its next start")?;
    }
    Ok(OK)
}

fn update(world: &World<'_>, name: &str, version: Option<&str>, out: &mut dyn Write) -> Result<u8, CommandError> {
    let guest = find_valid(world, name)?;
    let image = &guest.config.image;
    if let Some(pinned) = image.version() {
        let reason = format!("its guest.toml says image = \"{image}\": change it there, it pins version {pinned}");
        return Err(guest_error(name, reason));
    }
    let request = image::ImageRequest { name: image.name(), version, passed_over: &[], stage: None };
    let (verified, rejected) = image::choose(world, request).map_err(|error| guest_error(name, error))?;
    for rejected in rejected {
        writeln!(out, "skipped {}: {}", rejected.place, rejected.reason)?;
    }
    change(world, name, out, |state, now| {
        state.update(version, now);
        let trial = match state.fallback_for(&verified.manifest.version) {
            Some(good) => {
                let seconds = guest.config.ready_timeout.get();
                format!("; not ready within {seconds} s, it goes back to version {good}")
            }
            None => String::new(),
        };
        Ok(format!("version {} of image {} is chosen{trial}", verified.manifest.version, image.name()))
    })
}

fn rollback(world: &World<'_>, name: &str, out: &mut dyn Write) -> Result<u8, CommandError> {
    let guest = find_valid(world, name)?;
    if let Some(pinned) = guest.config.image.version() {
        return Err(guest_error(name, format!("its guest.toml pins version {pinned}: change it there")));
    }
    change(world, name, out, |state, now| {
        let none = "there is no version to go back to: only one has ever been ready on this node; appliance guest \
             update chooses any";
        let version = state.rollback(now).ok_or_else(|| guest_error(name, none))?;
        let request = image::ImageRequest {
            name: guest.config.image.name(),
            version: Some(&version),
            passed_over: &[],
            stage: None,
        };
        image::choose(world, request).map_err(|error| guest_error(name, error))?;
        Ok(format!("version {version} of image {} is chosen", guest.config.image.name()))
    })
}

fn systemctl(world: &World<'_>, name: &str, verb: &str) -> Result<(), CommandError> {
    let unit = unit::name(OsStr::new(name));
    if verb != "stop" {
        // Lets a unit that failed too often start again. Fails for a unit that never failed, hence ignored.
        let _ = world.programs.run("systemctl", &["reset-failed", &unit]);
    }
    let failed = |reason: String| guest_error(name, format!("systemctl {verb} {unit}: {reason}"));
    let output = world.programs.run("systemctl", &[verb, &unit]).map_err(|error| failed(error.to_string()))?;
    if output.is_success() { Ok(()) } else { Err(failed(output.error_text())) }
}

/// The exit status of an error, if it has one of its own.
pub fn status_of(error: &CommandError) -> Option<u8> {
    matches!(error, CommandError::Refused { .. }).then_some(REFUSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_timed_out_is_no_refusal() {
        let check = |error| RunError::Prepare(PrepareError::Check(error));
        assert!(!is_refusal(&check(CheckError::MemoryUnknown { reason: "xl info: exit status 124".into() })));
        assert!(is_refusal(&check(CheckError::Memory { wanted: 2, free: 1 })));
    }
}
