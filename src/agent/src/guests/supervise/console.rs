//! A guest's console as lines for the journal, and whether one says that the guest is ready.

use appliance_contract::readiness;

/// A line that does not end is told in pieces of this length.
const LONGEST: usize = 2048;
/// What somebody who opens the console sees of before.
const KEPT: usize = 16 * 1024;

/// Splits what comes from a console into lines, and keeps the last of it.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    kept: Vec<u8>,
}

impl Lines {
    /// Takes what the console gave; gives the lines that it ended.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        self.kept.extend_from_slice(bytes);
        let surplus = self.kept.len().saturating_sub(KEPT);
        self.kept.drain(..surplus);
        let mut lines = Vec::new();
        for &byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
            }
            if byte == b'\n' || self.line.len() >= LONGEST {
                lines.push(plain(&self.line));
                self.line.clear();
            }
        }
        lines
    }

    /// The line that was begun when the console ended.
    pub fn rest(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        (!line.is_empty()).then(|| plain(&line))
    }

    /// The console's last output, as it came.
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }
}

/// Without control characters: a guest is not to write to the terminal of whoever reads the journal.
fn plain(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut plain = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            // ECMA-48, 5.4: a control sequence ends with a byte from @ to ~.
            if characters.next_if_eq(&'[').is_some() {
                while characters.next().is_some_and(|inner| !('@'..='~').contains(&inner)) {}
            }
        } else if character == '\t' || !character.is_control() {
            plain.push(character);
        }
    }
    plain
}

/// The state that a line reports, where it is the line that says so.
pub fn ready_state(line: &str) -> Option<&str> {
    readiness::state(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_without_control_sequences() {
        let mut lines = Lines::default();
        assert!(lines.take(b"\x1b[0;32m  OK").is_empty());
        assert_eq!(lines.take(b"\x1b[0m up\r\nnext\n\x07x"), ["  OK up", "next"]);
        assert_eq!(lines.rest().as_deref(), Some("x"));
        assert_eq!(lines.rest(), None);
        assert_eq!(lines.take(&[b'a'; 3000]).len(), 1);
        lines.take(&[b'b'; 40_000]);
        assert_eq!(lines.kept().len(), KEPT);
    }

    #[test]
    fn the_ready_line_is_known_within_others() {
        let mut lines = Lines::default();
        let found = lines.take(b"login: appliance: ready running\r\n");
        assert_eq!(ready_state(&found[0]), Some("running"));
        assert_eq!(ready_state("login: "), None);
    }
}
