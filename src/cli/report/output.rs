//! Writes to standard output and standard error.

use serde_json::{Value, json};
use std::fmt::{Arguments, Display};
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The version of the events that `--json` prints.
const SCHEMA: u32 = 1;

/// Whether a write to standard output failed.
static LOST: AtomicBool = AtomicBool::new(false);

/// How much is printed besides the requested output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Errors.
    Quiet,
    /// Also progress, warnings and results.
    Usual,
    /// Also the output of maintainer scripts and each fetched file.
    Verbose,
}

static VERBOSITY: OnceLock<Verbosity> = OnceLock::new();

/// Must be called once, before anything is printed.
pub fn set_verbosity(verbosity: Verbosity) {
    // A second call has no effect.
    let _ = VERBOSITY.set(verbosity);
}

pub fn verbosity() -> Verbosity {
    VERBOSITY.get().copied().unwrap_or(Verbosity::Usual)
}

/// Whether a write to standard output failed.
pub fn write_failed() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Prints a line for people to standard error, unless `--quiet` is set.
macro_rules! note {
    ($($text:tt)*) => { $crate::cli::report::output::write_note(format_args!($($text)*)) };
}
pub(in crate::cli) use note;

pub fn write_note(text: Arguments<'_>) {
    if verbosity() != Verbosity::Quiet {
        error(text);
    }
}

/// Prints a line to standard error. If that fails, work continues, while `eprintln!` would panic.
pub fn error(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a result, unless `--quiet` is set.
pub fn result(text: impl Display) {
    if verbosity() != Verbosity::Quiet {
        self::text(text);
    }
}

/// Prints text. A reader that closes the pipe early (`| head`) is not an error.
pub fn text(text: impl Display) {
    let mut out = io::stdout().lock();
    if let Err(error) = write!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        LOST.store(true, Ordering::Relaxed);
        self::error(format_args!("writing to standard output: {error}"));
    }
}

/// The program as the user called it, for suggested commands: cargo does not put it on `PATH`.
pub fn program() -> String {
    let called = std::env::args().next().filter(|called| called.contains('/'));
    called.unwrap_or_else(|| "applbuild".to_owned())
}

/// Prints an event of `--json`: one object on one line.
pub fn event(name: &str, fields: Value) {
    let mut object = json!({"schema": SCHEMA, "event": name});
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
        object.extend(fields);
    }
    text(format_args!("{object}\n"));
}
