//! ISO 9660 (ECMA-119, 8.4: primary volume descriptor) and UDF (ECMA-167, 2/9.1).

use super::view::View;
use super::{FileSystem, FileSystemKind};
use crate::formats::iso::{label, volume_uuid};
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
                    uuid: volume_uuid(&sector),
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
