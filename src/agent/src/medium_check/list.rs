//! The list of checksums, as `sha256sum` writes it.

use appliance_contract::Sha256;
use appliance_shared::read_at::ReadAt;
use std::ops::Range;

/// A list larger than this is no list.
const MAX_LIST: u64 = 1024 * 1024;

/// The files with their SHA-256, from the list in `place`.
pub fn read(device: &dyn ReadAt, place: &Range<u64>) -> Result<Vec<(Sha256, String)>, String> {
    let length = place.end - place.start;
    if length > MAX_LIST {
        return Err(format!("it has {length} bytes, expected {MAX_LIST} at most"));
    }
    let mut bytes = vec![0; length as usize];
    device.read_exact_at(&mut bytes, place.start).map_err(|error| error.to_string())?;
    parse(&String::from_utf8_lossy(&bytes))
}

/// Lines of `sha256sum`: 64 digits, two characters, a path relative to the medium's root.
fn parse(text: &str) -> Result<Vec<(Sha256, String)>, String> {
    let wrong = |line| format!("found the line {line:?}, expected 64 hexadecimal digits, two blanks and a path");
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| entry(line).ok_or_else(|| wrong(line))).collect()
}

fn entry(line: &str) -> Option<(Sha256, String)> {
    let (digits, rest) = line.split_at_checked(64)?;
    let path = rest.strip_prefix("  ").or_else(|| rest.strip_prefix(" *")).filter(|path| !path.is_empty())?;
    Some((digits.parse().ok()?, format!("/{}", path.trim_start_matches("./").trim_start_matches('/'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_list_as_sha256sum_writes_it() {
        let sum = "AB".repeat(32);
        let list = parse(&format!("{sum}  boot/vmlinuz\n{sum} *./a b\n\n")).unwrap();
        assert_eq!(list, [([0xab; 32].into(), "/boot/vmlinuz".to_owned()), ([0xab; 32].into(), "/a b".to_owned())]);
    }

    #[test]
    fn refuses_a_line_that_is_none() {
        for line in ["short  path", &format!("{}  ", "ab".repeat(32)), &format!("{}  path", "zz".repeat(32))] {
            assert!(parse(line).unwrap_err().contains("expected 64 hexadecimal digits"), "{line}");
        }
    }
}
