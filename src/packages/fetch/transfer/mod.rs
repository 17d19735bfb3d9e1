//! Transfers whole files, with retries that resume.

use super::http::{Again, Client, Failure, HttpError, Opened, SLOWEST};
use super::url::Url;
use crate::cache::Part;
use crate::util::file_error::FileError;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The destination of a transfer; it may already hold the start of the file.
pub(in crate::packages) trait Sink {
    /// How many bytes it holds.
    fn position(&self) -> u64;
    fn write(&mut self, bytes: &[u8]) -> Result<(), HttpError>;
    /// Discards what it holds.
    fn restart(&mut self) -> Result<(), HttpError>;
}

/// What is known of a file's length before it is read.
#[derive(Debug, Clone, Copy)]
pub(in crate::packages) enum Size {
    Exactly(u64),
    AtMost(u64),
}

impl Sink for Part {
    fn position(&self) -> u64 {
        Part::position(self)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), HttpError> {
        self.append(bytes).map_err(|source| HttpError::Write { source: FileError::new("writing", self.path(), source) })
    }

    fn restart(&mut self) -> Result<(), HttpError> {
        self.clear().map_err(|source| HttpError::Write { source: FileError::new("writing", self.path(), source) })
    }
}

/// Bytes in memory.
#[derive(Debug, Default)]
pub(in crate::packages) struct Memory(pub Vec<u8>);

impl Sink for Memory {
    fn position(&self) -> u64 {
        self.0.len() as u64
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), HttpError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), HttpError> {
        self.0.clear();
        Ok(())
    }
}

/// Cancels several transfers.
#[derive(Debug, Default)]
pub(in crate::packages) struct Stop(AtomicBool);

impl Stop {
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sleeps; returns false if the flag was set meanwhile.
    fn wait(&self, mut time: Duration) -> bool {
        const SLICE: Duration = Duration::from_millis(100);
        while !self.is_set() && !time.is_zero() {
            let slice = time.min(SLICE);
            std::thread::sleep(slice);
            time -= slice;
        }
        !self.is_set()
    }
}

/// An attempt that transferred this many bytes resets the count of retries.
const PROGRESS: u64 = 1 << 20;

impl Client {
    /// Fetches `url` into `sink`, resuming at its position.
    pub(in crate::packages) fn fetch(
        &self,
        url: &Url,
        sink: &mut dyn Sink,
        size: Size,
        stop: &Stop,
    ) -> Result<(), HttpError> {
        let (mut failures, mut attempts) = (0, 0);
        let mut validator = None;
        let mut wait = self.policy.first_wait;
        loop {
            if stop.is_set() {
                return Err(HttpError::Stopped { url: url.clone() });
            }
            let before = sink.position();
            let Err(failure) = self.attempt(url, sink, size, &mut validator, stop) else { return Ok(()) };
            if failure.again == Again::Never {
                return Err(failure.error);
            }
            attempts += 1;
            if sink.position() >= before + PROGRESS {
                failures = 0;
                wait = self.policy.first_wait;
            }
            failures += 1;
            if failures > self.policy.retries {
                return Err(HttpError::GaveUp { url: url.clone(), attempts, source: Box::new(failure.error) });
            }
            let pause = match failure.again {
                Again::After(asked) => asked.max(wait),
                Again::FromTheStart => {
                    sink.restart()?;
                    validator = None;
                    wait
                }
                Again::Later | Again::Never => wait,
            };
            stop.wait(pause.min(self.policy.longest_wait));
            wait = (wait * 2).min(self.policy.longest_wait);
        }
    }

    fn attempt(
        &self,
        url: &Url,
        sink: &mut dyn Sink,
        size: Size,
        validator: &mut Option<String>,
        stop: &Stop,
    ) -> Result<(), Failure> {
        let never = |error| Failure { error, again: Again::Never };
        let (most, exact) = match size {
            Size::Exactly(size) => (size, true),
            Size::AtMost(most) => (most, false),
        };
        if sink.position() > most || !exact && validator.is_none() {
            sink.restart().map_err(never)?;
        }
        if exact && sink.position() == most {
            return Ok(());
        }
        let opened = self.open(url, sink.position(), validator.as_deref())?;
        *validator = opened.validator.clone();
        if opened.offset != sink.position() {
            // The server sends the whole file instead of the requested range.
            sink.restart().map_err(never)?;
        }
        match opened.length {
            Some(found) if exact && found != most => {
                return Err(never(HttpError::Size { url: url.clone(), expected: most, found }));
            }
            Some(found) if found > most => return Err(never(HttpError::TooLarge { url: url.clone(), most })),
            _ => {}
        }
        self.copy(url, opened, sink, most, stop)?;
        if exact && sink.position() < most {
            let error = HttpError::Truncated { url: url.clone(), expected: most, found: sink.position() };
            return Err(Failure { error, again: Again::Later });
        }
        Ok(())
    }

    fn copy(&self, url: &Url, opened: Opened, sink: &mut dyn Sink, most: u64, stop: &Stop) -> Result<(), Failure> {
        let never = |error| Failure { error, again: Again::Never };
        let mut reader = opened.reader;
        let mut buffer = vec![0; 128 << 10];
        let (mut since, mut from) = (Instant::now(), sink.position());
        loop {
            if stop.is_set() {
                return Err(never(HttpError::Stopped { url: url.clone() }));
            }
            let count = match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    let error = HttpError::Broken { url: url.clone(), position: sink.position(), source };
                    return Err(Failure { error, again: Again::Later });
                }
            };
            let found = sink.position() + count as u64;
            if found > most {
                return Err(never(HttpError::Size { url: url.clone(), expected: most, found }));
            }
            sink.write(&buffer[..count]).map_err(never)?;
            // A read timeout alone would never end a transfer from a server that sends a byte now and then.
            let elapsed = since.elapsed();
            if elapsed > self.policy.read_timeout {
                if u128::from(sink.position() - from) * 1000 < u128::from(SLOWEST) * elapsed.as_millis() {
                    return Err(Failure { error: HttpError::TooSlow { url: url.clone() }, again: Again::Later });
                }
                (since, from) = (Instant::now(), sink.position());
            }
        }
    }
}

#[cfg(test)]
mod tests;
