//! Handles Ctrl-C and similar signals: incomplete files are removed, and the exit code reports the interruption.

use crate::cli::report::failure::Failure;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// The exit code of a shell for a program that SIGINT ended.
pub const INTERRUPTED: u8 = 130;

const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

const MESSAGE: &str = "interrupted; fetched files stay in the cache, and the next run cleans up";

#[derive(Debug, thiserror::Error)]
#[error("installing signal handlers")]
struct WatchError {
    source: std::io::Error,
}

/// The flag that the first signal sets, once [`stop`] was called.
static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Ends the process at the first signal. This is safe at any time: files under their final names are complete, and the
/// next build removes this build's work directory.
pub fn watch(as_json: bool) -> Result<(), Failure> {
    static WATCHING: AtomicBool = AtomicBool::new(false);
    if WATCHING.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let mut signals = Signals::new(SIGNALS).map_err(|source| Failure::plain(WatchError { source }))?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if STOP.get().is_some_and(|stop| !stop.swap(true, Ordering::Relaxed)) {
                continue;
            }
            if as_json {
                crate::cli::report::output::event("error", json!({"message": MESSAGE, "causes": []}));
            } else {
                crate::cli::report::output::error(format_args!("\n{MESSAGE}"));
            }
            std::process::exit(INTERRUPTED.into());
        }
    });
    Ok(())
}

/// A flag that the first such signal sets, so that the caller can clean up; the second signal ends the process. Must be
/// called before there is anything to clean up.
pub fn stop(as_json: bool) -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::clone(STOP.get_or_init(Arc::default));
    watch(as_json)?;
    Ok(stop)
}
