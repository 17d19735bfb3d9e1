//! Parses, dispatches, prints the error, sets the exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any thread and any flag: the sandbox starts this same binary for its helpers.
    if let Some(code) = applbuild::sandbox::dispatch() {
        return code;
    }
    cli::run()
}
