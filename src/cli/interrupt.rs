//! Ctrl-C and its like: what is half made goes, and the exit code says so.

use super::failure::Failure;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// As a shell tells of a program that SIGINT ended.
pub const INTERRUPTED: u8 = 130;

const ENDING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

const SAID: &str = "interrupted; what was fetched is kept, and the next run cleans up";

#[derive(Debug, thiserror::Error)]
#[error("asking for signals")]
struct WatchError(#[source] std::io::Error);

/// Ends the process at the first signal that asks for it. Files under their
/// final names are whole at any moment; what a build has in its work folder is
/// removed by the next one.
pub fn watch(as_json: bool) -> Result<(), Failure> {
    let mut signals = Signals::new(ENDING).map_err(|source| Failure::plain(WatchError(source)))?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            if as_json {
                super::output::event("error", json!({"message": SAID, "causes": []}));
            } else {
                super::output::note!("\n{SAID}");
            }
            std::process::exit(INTERRUPTED.into());
        }
    });
    Ok(())
}

/// A flag that the first such signal sets, for what must be undone; the second ends the process.
pub fn stop() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in ENDING {
        flag::register_conditional_shutdown(signal, INTERRUPTED.into(), Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .map_err(|source| Failure::plain(WatchError(source)))?;
    }
    Ok(stop)
}
