//! The `appliance` command of the running node. Arguments are read by hand:
//! there are few, and the program is to stay small.
//!
//! Exit status: 0 all is well or nothing differs, 1 something is wrong or
//! differs, 2 the command could not do its work.

mod console;
mod etc_diff;
mod guest;
mod guest_text;
mod layers;
mod mounts;
mod node_status;
mod status;
mod status_text;
mod text_diff;
mod time_text;
mod uplink;

use crate::system::boot_record::BootRecordError;
use crate::system::world::World;
use crate::uplink::run::UplinkError;
use std::io::{self, Write};
use std::path::PathBuf;

/// All is well, or nothing differs.
pub const OK: u8 = 0;
/// Something is wrong, or differs.
pub const DIFFERS: u8 = 1;
/// The command could not do its work.
pub const ERROR: u8 = 2;

const HELP: &str = "\
appliance: what this node runs, and how it differs from its image

  appliance status [--json]     the image, its verity state, the config, the boot,
                                the guests
  appliance etc diff [-u] [--config | --memory]
                                what the config and later changes (in memory, gone
                                at the next boot) make of the image's /etc;
                                -u shows the lines that changed
  appliance guest list [--json]           all guests: state, image, memory, failures
  appliance guest show NAME [--json]      one guest, its versions and their story
  appliance guest start|stop|restart NAME
  appliance guest console NAME            its console; Ctrl-] leaves it
  appliance guest update NAME [VERSION]   start it from that version, or the newest;
                                          not ready in time, it goes back by itself
  appliance guest rollback NAME           start it from the good version before
  appliance help                this text

Exit status: 0 all is well, nothing differs; 1 something is wrong, or differs;
2 the command could not be done.
";

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum CommandError {
    #[error("found {found:?}, expected {expected}{}; appliance help tells more", suggestion(.found, .known))]
    Usage { found: String, expected: &'static str, known: &'static [&'static str] },
    #[error("reading {path}: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error("{0}{hint}", hint = no_record_hint(.0))]
    Record(BootRecordError),
    #[error("guest {name} is not started: {reason}")]
    Refused { name: String, reason: String },
    #[error("guest {name}: {reason}")]
    Guest { name: String, reason: String },
    #[error("network: {0}")]
    Uplink(UplinkError),
    #[error("writing the answer: {0}")]
    Write(io::Error),
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl From<UplinkError> for CommandError {
    fn from(error: UplinkError) -> Self {
        Self::Uplink(error)
    }
}

impl From<BootRecordError> for CommandError {
    fn from(error: BootRecordError) -> Self {
        Self::Record(error)
    }
}

fn no_record_hint(error: &BootRecordError) -> &'static str {
    if error.is_not_found() { "; it is there on nodes that appliance's agent booted" } else { "" }
}

fn suggestion(found: &str, known: &[&str]) -> String {
    appliance_contract::nearest::nearest(found, known)
        .map(|near| format!(" (did you mean {near}?)"))
        .unwrap_or_default()
}

/// Does what `arguments` (without the program's name) say; gives the exit status.
pub fn run(arguments: &[String], world: &World<'_>, out: &mut dyn Write, errors: &mut dyn Write) -> u8 {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&arguments, world, out).and_then(|code| Ok(out.flush().map(|()| code)?)) {
        Ok(code) => code,
        // `appliance status | head` is no trouble.
        Err(CommandError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => OK,
        Err(error) => {
            // Nothing is left to tell it to when this fails too.
            let _ = writeln!(errors, "appliance: {error}");
            guest::status_of(&error).unwrap_or(ERROR)
        }
    }
}

fn dispatch(arguments: &[&str], world: &World<'_>, out: &mut dyn Write) -> Result<u8, CommandError> {
    match arguments {
        [] | ["help" | "--help" | "-h", ..] => {
            out.write_all(HELP.as_bytes())?;
            Ok(OK)
        }
        ["status", options @ ..] => {
            let json = match options {
                [] => false,
                ["--json"] => true,
                ["--json", other, ..] | [other, ..] => return Err(usage(other, "--json or nothing", &["--json"])),
            };
            status::run(world, json, out)
        }
        ["etc", "diff", options @ ..] => etc_diff::run(world, &diff_options(options)?, out),
        // The main process of appliance-uplink.service.
        ["uplink"] => uplink::run(world, out),
        ["guest", "run", name] => guest::supervise(world, name, out),
        // What the unit of a guest runs whose guest.toml the generator could not take.
        ["guest", "refuse", name, reason] => {
            Err(CommandError::Refused { name: (*name).to_owned(), reason: (*reason).to_owned() })
        }
        ["guest", arguments @ ..] => guest::run(world, arguments, out),
        ["etc", other, ..] => Err(usage(other, "diff", &["diff"])),
        ["etc"] => Err(usage("", "diff after etc", &[])),
        [other, ..] => Err(usage(other, "status, etc diff, guest or help", &["status", "etc", "guest", "help"])),
    }
}

fn usage(found: &str, expected: &'static str, known: &'static [&'static str]) -> CommandError {
    CommandError::Usage { found: found.to_owned(), expected, known }
}

fn diff_options(options: &[&str]) -> Result<etc_diff::Options, CommandError> {
    let mut found = etc_diff::Options { unified: false, config: true, memory: true };
    for option in options {
        match *option {
            "-u" | "--unified" => found.unified = true,
            "--config" => found.memory = false,
            "--memory" => found.config = false,
            other => {
                return Err(usage(other, "-u, --config or --memory", &["-u", "--unified", "--config", "--memory"]));
            }
        }
    }
    if !found.config && !found.memory {
        return Err(usage("--config --memory", "one of the two; without them both are shown", &[]));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
