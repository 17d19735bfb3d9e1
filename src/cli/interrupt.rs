//! Ctrl-C and its like: what is half made goes, and the exit code says so.

use super::failure::Failure;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// As a shell tells of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

#[derive(Debug, thiserror::Error)]
#[error("asking for signals")]
struct WatchError(#[source] std::io::Error);

/// Ends the process at the first signal that asks for it. Files under their
/// final names are whole at any moment; what a build has in its work folder is
/// removed by the next one.
pub fn watch() -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|source| Failure::plain(WatchError(source)))?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            eprintln!("\ninterrupted; what was fetched is kept, and the next run cleans up");
            std::process::exit(INTERRUPTED);
        }
    });
    Ok(())
}
