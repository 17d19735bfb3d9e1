//! Files that the disk takes while they are written, so that little is left to wait for.

use std::fs::File;
use std::io;
use std::panic::resume_unwind;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Has the disk take what `write` writes to `file` while it does. The first error
/// counts: the kernel tells of each but once (fsync(2)).
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
