//! Parses, dispatches, prints the error, sets the exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any thread starts and any flag is parsed: the sandbox and QEMU's watchdog re-execute this binary as their
    // helpers.
    if let Some(code) = applbuild::sandbox::dispatch().or_else(applbuild::qemu::keeper::dispatch) {
        return code;
    }
    cli::run()
}
