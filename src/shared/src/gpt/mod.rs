//! Partitions of a GUID partition table (UEFI 2.10, 5.3), with the backup when the first is damaged.

#[cfg(any(test, feature = "fixtures"))]
pub mod fixture;

use crate::read_at::{ReadAt, array_at, le16, le32, le64};
use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use std::io;

/// Without tables, which would be 16 KiB for a few KiB of partition table.
pub const CRC_32: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// What a table's header begins with.
pub const SIGNATURE: &[u8] = b"EFI PART";
/// UEFI wants room for at least 128; a thousand is more than any tool makes.
const MAX_ENTRIES: u32 = 1024;
const MAX_ENTRY_SIZE: u32 = 4096;
const MIN_HEADER: u32 = 92;
const SECTOR_SIZES: [u64; 2] = [512, 4096];

/// A partition of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// As in the kernel's name of it; counts from 1.
    pub number: u32,
    /// Lower case.
    pub type_guid: String,
    /// The partition's own GUID, in lower case.
    pub guid: String,
    /// Where it begins.
    pub first_byte: u64,
    /// Inclusive.
    pub last_byte: u64,
    /// Its name.
    pub name: String,
}

/// Why there are no partitions to read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant says in its message what it means")]
pub enum GptError {
    /// The device cannot be read.
    #[error("reading the partition table: {0}")]
    Read(io::Error),
    /// A table contradicts itself or the specification.
    #[error("partition table: {what} is {found}, expected {expected}")]
    Damaged { what: &'static str, found: u64, expected: String },
    /// Both tables are damaged; the first one's damage.
    #[error("{0}, and the backup is no better")]
    Both(Box<Self>),
}

impl From<io::Error> for GptError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// One of a disk's two tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Where the other one's header is, in bytes.
    pub other: u64,
    /// CRC-32 of the entries.
    pub entries_sum: u32,
    /// The entries that are in use.
    pub partitions: Vec<Partition>,
}

/// The table whose header is at byte `place` of a disk with sectors of 512 bytes.
pub fn table(device: &dyn ReadAt, place: u64) -> Result<Table, GptError> {
    let found = read_table(device, SECTOR_SIZES[0], place / SECTOR_SIZES[0])?;
    found.ok_or_else(|| damaged("the number of headers at the byte where one is expected", 0u64, 1))
}

/// The partitions of `device`; `None` when it has no GPT at all.
pub fn partitions(device: &dyn ReadAt) -> Result<Option<Vec<Partition>>, GptError> {
    let size = device.size()?;
    let mut damage = None;
    for sector in SECTOR_SIZES {
        let Some(last) = (size / sector).checked_sub(1) else { continue };
        for lba in [1, last] {
            match read_table(device, sector, lba) {
                Ok(Some(found)) => return Ok(Some(found.partitions)),
                Ok(None) => {}
                Err(GptError::Read(error)) => return Err(error.into()),
                Err(error) => damage = damage.or(Some(error)),
            }
        }
    }
    match damage {
        Some(error) => Err(GptError::Both(Box::new(error))),
        None => Ok(None),
    }
}

fn damaged(what: &'static str, found: impl Into<u64>, expected: impl ToString) -> GptError {
    GptError::Damaged { what, found: found.into(), expected: expected.to_string() }
}

fn read_table(device: &dyn ReadAt, sector: u64, lba: u64) -> Result<Option<Table>, GptError> {
    let Some(block) = array_at::<512>(device, lba * sector)? else { return Ok(None) };
    if !block.starts_with(SIGNATURE) {
        return Ok(None);
    }
    let header_size = le32(&block, 12);
    if !(MIN_HEADER..=512).contains(&header_size) {
        return Err(damaged("the header's size", header_size, "92 to 512"));
    }
    let mut header = block[..header_size as usize].to_vec();
    header[16..20].fill(0);
    let sum = CRC_32.checksum(&header);
    if sum != le32(&block, 16) {
        return Err(damaged("the header's checksum", sum, le32(&block, 16)));
    }
    if le64(&block, 24) != lba {
        return Err(damaged("the header's own place", le64(&block, 24), lba));
    }
    let count = le32(&block, 80);
    let entry_size = le32(&block, 84);
    if count > MAX_ENTRIES {
        return Err(damaged("the number of entries", count, format_args!("{MAX_ENTRIES} at most")));
    }
    if !(128..=MAX_ENTRY_SIZE).contains(&entry_size) || !entry_size.is_power_of_two() {
        return Err(damaged("the size of an entry", entry_size, "128 times a power of two, 4096 at most"));
    }
    let entries_lba = le64(&block, 72);
    let start = entries_lba.checked_mul(sector).filter(|&start| start < device.size().unwrap_or(0));
    let start = start.ok_or_else(|| damaged("the place of the entries", entries_lba, "inside the device"))?;
    let mut entries = vec![0; (count * entry_size) as usize];
    if start + entries.len() as u64 > device.size()? {
        return Err(damaged("the end of the entries", start + entries.len() as u64, device.size()?));
    }
    device.read_exact_at(&mut entries, start)?;
    let sum = CRC_32.checksum(&entries);
    if sum != le32(&block, 88) {
        return Err(damaged("the checksum of the entries", sum, le32(&block, 88)));
    }
    let found = entries.chunks_exact(entry_size as usize).zip(1..);
    Ok(Some(Table {
        other: le64(&block, 32).saturating_mul(sector),
        entries_sum: sum,
        partitions: found.filter_map(|(entry, number)| partition(entry, number, sector)).collect(),
    }))
}

fn partition(entry: &[u8], number: u32, sector: u64) -> Option<Partition> {
    if entry[..16].iter().all(|&byte| byte == 0) {
        return None;
    }
    let units: Vec<u16> = (56..128).step_by(2).map(|at| le16(entry, at)).take_while(|&unit| unit != 0).collect();
    Some(Partition {
        number,
        type_guid: guid(&entry[..16]),
        guid: guid(&entry[16..32]),
        first_byte: le64(entry, 32).checked_mul(sector)?,
        last_byte: le64(entry, 40).checked_add(1)?.checked_mul(sector)?.checked_sub(1)?,
        name: String::from_utf16_lossy(&units),
    })
}

/// The first three fields are little-endian (UEFI 2.10, appendix A).
fn guid(bytes: &[u8]) -> String {
    let tail: String = bytes[10..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{:08x}-{:04x}-{:04x}-{:02x}{:02x}-{tail}",
        le32(bytes, 0),
        le16(bytes, 4),
        le16(bytes, 6),
        bytes[8],
        bytes[9]
    )
}

#[cfg(test)]
mod tests;
