//! Ctrl-C and its like: what is half made goes, and the exit code says so.

use crate::cli::report::failure::Failure;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// As a shell tells of a program that SIGINT ended.
pub const INTERRUPTED: u8 = 130;

const ENDING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

const SAID: &str = "interrupted; what was fetched is kept, and the next run cleans up";

#[derive(Debug, thiserror::Error)]
#[error("asking for signals")]
struct WatchError {
    source: std::io::Error,
}

/// Set by the first signal, once [`stop`] asked for it.
static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Ends the process at the first signal that asks for it. Files under their
/// final names are whole at any moment; what a build has in its work folder is
/// removed by the next one.
pub fn watch(as_json: bool) -> Result<(), Failure> {
    static WATCHING: AtomicBool = AtomicBool::new(false);
    if WATCHING.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let mut signals = Signals::new(ENDING).map_err(|source| Failure::plain(WatchError { source }))?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if STOP.get().is_some_and(|stop| !stop.swap(true, Ordering::Relaxed)) {
                continue;
            }
            if as_json {
                crate::cli::report::output::event("error", json!({"message": SAID, "causes": []}));
            } else {
                crate::cli::report::output::error(format_args!("\n{SAID}"));
            }
            std::process::exit(INTERRUPTED.into());
        }
    });
    Ok(())
}

/// A flag that the first such signal sets, for what must be undone; the second ends
/// the process. To be asked for before there is anything to undo.
pub fn stop(as_json: bool) -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::clone(STOP.get_or_init(Arc::default));
    watch(as_json)?;
    Ok(stop)
}
