//! Excerpts of two contents where they differ: lines of text, or bytes.

use crate::tree::Content;
use std::io;

/// Bytes before the first that differs, and all that is shown.
const BEFORE: u64 = 160;
const SHOWN: u64 = 480;
const BEFORE_BINARY: u64 = 16;
const SHOWN_BINARY: u64 = 64;

pub struct Excerpt {
    pub what: String,
    pub left: String,
    pub right: String,
}

pub fn around(left: &Content, right: &Content, offset: u64) -> io::Result<Excerpt> {
    let start = offset.saturating_sub(BEFORE);
    let (a, b) = (part(left, start, SHOWN)?, part(right, start, SHOWN)?);
    if is_text(&a) && is_text(&b) {
        let (a, b) = (String::from_utf8_lossy(&a), String::from_utf8_lossy(&b));
        // From the beginning of the line that differs on.
        let at = usize::try_from(offset - start).unwrap_or(0);
        let from = a.as_bytes()[..at.min(a.len())].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let cut = |text: &str| text.get(from..).unwrap_or(text).lines().take(3).collect::<Vec<_>>().join("\n");
        let (left, right) = (or_end(cut(&a)), or_end(cut(&b)));
        return Ok(Excerpt { what: format!("content, from byte {offset} on"), left, right });
    }
    let start = offset.saturating_sub(BEFORE_BINARY) & !15;
    let shown = |content| Ok::<_, io::Error>(or_end(dump(&part(content, start, SHOWN_BINARY)?, start)));
    let (left, right) = (shown(left)?, shown(right)?);
    Ok(Excerpt { what: format!("content, from byte {offset} ({offset:#x}) on"), left, right })
}

fn or_end(text: String) -> String {
    if text.is_empty() { "(ends here)".to_owned() } else { text }
}

fn part(content: &Content, start: u64, length: u64) -> io::Result<Vec<u8>> {
    let length = content.len().saturating_sub(start).min(length);
    let mut bytes = Vec::new();
    content.read_at(start, usize::try_from(length).unwrap_or(0), &mut bytes)?;
    Ok(bytes)
}

fn is_text(bytes: &[u8]) -> bool {
    // A cut at either end may go through a letter.
    let control = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\t' | b'\r');
    !bytes.iter().any(control)
        && std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to() + 4 > bytes.len(), |_| true)
}

fn dump(bytes: &[u8], start: u64) -> String {
    let lines = bytes.chunks(16).enumerate().map(|(number, line)| {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let letters: String =
            line.iter().map(|&byte| if byte.is_ascii_graphic() || byte == b' ' { byte.into() } else { '.' }).collect();
        format!("{:08x}  {:<47}  {letters}", start + number as u64 * 16, hex.join(" "))
    });
    lines.collect::<Vec<_>>().join("\n")
}
