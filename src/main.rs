//! Parses, dispatches, prints the error, sets the exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any thread and any flag: the sandbox and QEMU's keeper start this same binary for their helpers.
    if let Some(code) = applbuild::sandbox::dispatch().or_else(applbuild::qemu::keeper::dispatch) {
        return code;
    }
    cli::run()
}
