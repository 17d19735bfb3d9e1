//! The serial console: what came, without terminal control, and waiting for more.

use crate::util::poison::Unpoisoned;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Text on a console after which nothing good can come.
pub const FAILURES: &[&str] =
    &["Panic on CPU", "Dom0 crashed", "Kernel panic", "Entering rescue mode...", "Guru Meditation"];

/// What a wait ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waited {
    /// The text came.
    Found,
    /// The text that means failure.
    Failed(String),
    /// The console closed: the machine is off.
    Closed,
    /// The text did not come in time.
    TimedOut,
    /// The user wants no more.
    Stopped,
}

/// How soon a wait hears that it is to stop.
const HEARING: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
struct State {
    text: String,
    /// Where the last found text ended: the next search begins there.
    position: usize,
    closed: bool,
}

/// Collects a console's output on a thread of its own.
#[derive(Debug, Clone, Default)]
pub struct Console {
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Console {
    /// Reads `output` to its end, keeping the raw bytes in `log`.
    pub fn follow(mut output: impl Read + Send + 'static, log: &Path) -> std::io::Result<Self> {
        let console = Self::default();
        let mut log = File::create(log)?;
        let writer = console.clone();
        std::thread::spawn(move || {
            let mut filter = ControlFilter::default();
            let mut buffer = [0; 4096];
            while let Ok(count) = output.read(&mut buffer) {
                if count == 0 {
                    break;
                }
                // The log is for people; a full disk there must not end the run.
                let _ = log.write_all(&buffer[..count]);
                writer.push(&filter.filter(&buffer[..count]));
            }
            writer.close();
        });
        Ok(console)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.0.lock().unpoisoned()
    }

    fn push(&self, text: &str) {
        self.lock().text.push_str(text);
        self.shared.1.notify_all();
    }

    fn close(&self) {
        self.lock().closed = true;
        self.shared.1.notify_all();
    }

    /// Waits for `text` after what was found last; `None` waits for the machine to go off.
    /// `stop` ends the wait from outside.
    pub fn wait(&self, text: Option<&str>, failures: &[String], until: Instant, stop: &AtomicBool) -> Waited {
        let mut state = self.lock();
        loop {
            let rest = &state.text[state.position..];
            let found = text.and_then(|text| rest.find(text).map(|at| (at, at + text.len())));
            let failed = failures.iter().filter_map(|failure| Some((rest.find(failure)?, failure))).min();
            match (found, failed) {
                (Some((at, _)), Some((before, failure))) if before < at => return Waited::Failed(failure.clone()),
                (Some((_, end)), _) => {
                    state.position += end;
                    return Waited::Found;
                }
                (None, Some((_, failure))) => return Waited::Failed(failure.clone()),
                (None, None) => {}
            }
            if state.closed {
                return if text.is_none() { Waited::Found } else { Waited::Closed };
            }
            if stop.load(Ordering::Relaxed) {
                return Waited::Stopped;
            }
            let left = until.saturating_duration_since(Instant::now()).min(HEARING);
            if left.is_zero() {
                return Waited::TimedOut;
            }
            state = match self.shared.1.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Whether `text` came at any time so far.
    pub fn contains(&self, text: &str) -> bool {
        self.lock().text.contains(text)
    }

    /// The last `count` lines that hold anything.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let state = self.lock();
        let lines: Vec<&str> = state.text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
    }
}

/// Drops terminal control sequences (ECMA-48: CSI, OSC and two-byte escapes) and carriage returns.
#[derive(Debug, Default)]
struct ControlFilter {
    state: Escape,
    /// The beginning of a UTF-8 sequence that the next read completes.
    rest: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Escape {
    #[default]
    None,
    Begun,
    Sequence,
    Command,
}

impl ControlFilter {
    fn filter(&mut self, bytes: &[u8]) -> String {
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (Escape::None, 0x1b) => Escape::Begun,
                (Escape::None, b'\r' | 0) => Escape::None,
                (Escape::None, _) => {
                    self.rest.push(byte);
                    Escape::None
                }
                (Escape::Begun, b'[') => Escape::Sequence,
                (Escape::Begun, b']') => Escape::Command,
                (Escape::Begun, b'(' | b')') => Escape::Begun,
                (Escape::Sequence, 0x20..=0x3f) => Escape::Sequence,
                (Escape::Command, 0x07) => Escape::None,
                (Escape::Command, 0x1b) => Escape::Begun,
                (Escape::Command, _) => Escape::Command,
                (Escape::Begun | Escape::Sequence, _) => Escape::None,
            };
        }
        let complete = match std::str::from_utf8(&self.rest) {
            Ok(_) => self.rest.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.rest.len(),
        };
        let rest = self.rest.split_off(complete);
        let text = String::from_utf8_lossy(&self.rest).into_owned();
        self.rest = rest;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn console(text: &str) -> Console {
        let console = Console::default();
        console.push(text);
        console.close();
        console
    }

    static GO_ON: AtomicBool = AtomicBool::new(false);

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[test]
    fn waits_in_order_and_stops_at_the_first_failure() {
        let failures = vec!["Kernel panic".to_owned()];
        let good = console("one two three Kernel panic");
        assert_eq!(good.wait(Some("one"), &failures, soon(), &GO_ON), Waited::Found);
        assert_eq!(good.wait(Some("three"), &failures, soon(), &GO_ON), Waited::Found);
        assert_eq!(good.wait(Some("two"), &failures, soon(), &GO_ON), Waited::Failed("Kernel panic".into()));
        assert_eq!(console("one").wait(Some("two"), &failures, soon(), &GO_ON), Waited::Closed);
        let open = Console::default();
        assert_eq!(open.wait(Some("x"), &failures, Instant::now(), &GO_ON), Waited::TimedOut);
        assert_eq!(open.wait(Some("x"), &failures, soon(), &AtomicBool::new(true)), Waited::Stopped);
    }

    #[test]
    fn control_sequences_go_and_split_characters_stay() {
        let mut filter = ControlFilter::default();
        let mut text = filter.filter(b"\x1b[1;32mok\x1b[0m\r\n\x1b]0;title\x07 caf\xc3");
        text += &filter.filter(b"\xa9 \x1b(B\xff!");
        assert_eq!(text, "ok\n café \u{fffd}!");
    }
}
