//! ISO 9660 (ECMA-119, 8.4: primary volume descriptor) and UDF (ECMA-167, 2/9.1).

use super::view::View;
use super::{FileSystem, FileSystemKind, label};
use std::io;

const SECTOR: u64 = 2048;
const FIRST_DESCRIPTOR: u64 = 16 * SECTOR;
/// Descriptors that are looked at; real volumes have three to six.
const MAX_DESCRIPTORS: u64 = 16;
const PRIMARY: u8 = 1;

pub fn file_system(view: &View) -> io::Result<Option<FileSystem>> {
    let mut udf = false;
    for number in 0..MAX_DESCRIPTORS {
        let Some(sector) = view.at::<2048>(FIRST_DESCRIPTOR + number * SECTOR)? else { break };
        match (&sector[1..6], sector[0]) {
            (b"CD001", PRIMARY) => {
                return Ok(Some(FileSystem {
                    kind: FileSystemKind::Iso9660,
                    uuid: uuid(&sector),
                    label: label(&sector[40..72]),
                    needs_recovery: false,
                }));
            }
            (b"CD001", _) | (b"BEA01" | b"BOOT2", 0) => {}
            (b"NSR02" | b"NSR03", 0) => udf = true,
            _ => break,
        }
    }
    Ok(udf.then_some(FileSystem { kind: FileSystemKind::Udf, uuid: None, label: None, needs_recovery: false }))
}

/// blkid's and GRUB's UUID of a volume: its modification date, else its creation
/// date (ECMA-119 8.4.26.1: 16 digits and a zone), as `YYYY-MM-DD-hh-mm-ss-cc`.
pub fn uuid(descriptor: &[u8; 2048]) -> Option<String> {
    date(&descriptor[830..847]).or_else(|| date(&descriptor[813..830]))
}

fn date(field: &[u8]) -> Option<String> {
    let digits = &field[..16];
    let unset = digits.iter().all(|&digit| digit == b'0') && field[16] == 0;
    if unset || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut text = String::with_capacity(22);
    for (index, &digit) in digits.iter().enumerate() {
        if index >= 4 && index % 2 == 0 {
            text.push('-');
        }
        text.push(char::from(digit));
    }
    Some(text)
}
