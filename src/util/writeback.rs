//! Syncs a file in the background while it is being written, so that the final sync is short.

use std::fs::File;
use std::io;
use std::panic::resume_unwind;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Syncs `file` in the background while `write` writes to it. Returns the first error of a sync, because the kernel
/// reports each error only once (fsync(2)).
pub fn with_background_sync<T>(file: &File, write: impl FnOnce() -> T) -> (T, io::Result<()>) {
    const PAUSE: Duration = Duration::from_millis(30);
    thread::scope(|scope| {
        let (written, waiting) = mpsc::channel::<()>();
        let syncing = scope.spawn(move || {
            while waiting.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                file.sync_data()?;
            }
            Ok(())
        });
        let done = write();
        drop(written);
        (done, syncing.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
