//! Splits a guest's console into lines for the journal, and detects the ready line.

use appliance_contract::readiness;

/// Longer lines are split at this length.
const LONGEST: usize = 2048;
/// Bytes of earlier output that a client sees when it opens the console.
const TAIL: usize = 16 * 1024;

/// Splits a console's output into lines, and stores its last part.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    tail: Vec<u8>,
}

impl Lines {
    /// Adds output; returns the lines that it completes.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.tail.extend_from_slice(bytes);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
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

    /// The incomplete last line, when the console has ended.
    pub fn finish(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        (!line.is_empty()).then(|| plain(&line))
    }

    /// The console's last output, unchanged.
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }
}

/// Removes control characters: a guest must not control the terminal of somebody who reads the journal.
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

/// The state in a ready line; `None` for other lines.
pub fn ready_state(line: &str) -> Option<&str> {
    readiness::state(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_without_control_sequences() {
        let mut lines = Lines::default();
        assert!(lines.push(b"\x1b[0;32m  OK").is_empty());
        assert_eq!(lines.push(b"\x1b[0m up\r\nnext\n\x07x"), ["  OK up", "next"]);
        assert_eq!(lines.finish().as_deref(), Some("x"));
        assert_eq!(lines.finish(), None);
        assert_eq!(lines.push(&[b'a'; 3000]).len(), 1);
        lines.push(&[b'b'; 40_000]);
        assert_eq!(lines.tail().len(), TAIL);
    }

    #[test]
    fn the_ready_line_is_known_within_others() {
        let mut lines = Lines::default();
        let found = lines.push(b"login: appliance: ready running\r\n");
        assert_eq!(ready_state(&found[0]), Some("running"));
        assert_eq!(ready_state("login: "), None);
    }
}
