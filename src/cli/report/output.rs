//! What goes to standard output and standard error.

use serde_json::{Value, json};
use std::fmt::{Arguments, Display};
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The version of the events that `--json` prints.
const SCHEMA: u32 = 1;

/// Whether something could not be written to standard output.
static LOST: AtomicBool = AtomicBool::new(false);

/// How much is printed besides what a command is asked to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Errors.
    Quiet,
    /// Progress, warnings and results, too.
    Usual,
    /// Also the output of maintainer scripts, and each file that is fetched.
    Verbose,
}

static VERBOSITY: OnceLock<Verbosity> = OnceLock::new();

/// To be called once, before anything is printed.
pub fn set_verbosity(verbosity: Verbosity) {
    // A second call changes nothing.
    let _ = VERBOSITY.set(verbosity);
}

pub fn verbosity() -> Verbosity {
    VERBOSITY.get().copied().unwrap_or(Verbosity::Usual)
}

/// Whether a write to standard output failed.
pub fn lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// A line for people, on standard error, that `--quiet` leaves out.
macro_rules! note {
    ($($text:tt)*) => { $crate::cli::report::output::write_note(format_args!($($text)*)) };
}
pub(in crate::cli) use note;

pub fn write_note(text: Arguments<'_>) {
    if verbosity() != Verbosity::Quiet {
        error(text);
    }
}

/// A line on standard error. Where that is closed or full, work goes on, which `eprintln!` would end.
pub fn error(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints the result of work, which `--quiet` leaves out.
pub fn result(text: impl Display) {
    if verbosity() != Verbosity::Quiet {
        self::text(text);
    }
}

/// Prints text; a reader that has seen enough (`| head`) is no error.
pub fn text(text: impl Display) {
    let mut out = io::stdout().lock();
    if let Err(error) = write!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        LOST.store(true, Ordering::Relaxed);
        self::error(format_args!("writing to standard output: {error}"));
    }
}

/// How the user called this program, for commands to type next: cargo puts it on no `PATH`.
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
