//! Directory records (ECMA-119, 9.1).

use super::{Extent, IsoError, SECTOR, damaged};
use appliance_shared::read_at::le32;

const FLAG_DIRECTORY: u8 = 0x02;
const FLAG_MORE: u8 = 0x80;
/// Length of a record's fixed part.
const FIXED: usize = 33;

#[derive(Debug)]
pub struct Record<'a> {
    pub extent: Extent,
    pub directory: bool,
    /// Another record of the same file follows.
    pub more: bool,
    pub interleaved: bool,
    pub name: &'a [u8],
    pub system_use: &'a [u8],
}

impl Record<'_> {
    /// Without the version (`;1`) and the dot that an empty extension leaves (7.5.1).
    pub fn plain_name(&self) -> &[u8] {
        let name = self.name.split(|&byte| byte == b';').next().unwrap_or_default();
        name.strip_suffix(b".").unwrap_or(name)
    }
}

/// The records in a directory's bytes. No record crosses a sector's end (6.8.1.1): a zero length means "next sector".
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Result<Record<'_>, IsoError>> {
    let mut at = 0;
    let mut failed = false;
    std::iter::from_fn(move || {
        while !failed && at < bytes.len() {
            let sector_end = ((at / SECTOR as usize) + 1) * SECTOR as usize;
            let length = usize::from(bytes[at]);
            if length == 0 {
                at = sector_end;
                continue;
            }
            let end = at + length;
            let parsed = match bytes.get(at..end) {
                Some(record) if end <= sector_end => parse(record),
                _ => Err(damaged("directory record's length", length as u64, sector_end.min(bytes.len()) - at)),
            };
            failed = parsed.is_err();
            at = end;
            return Some(parsed);
        }
        None
    })
}

fn parse(record: &[u8]) -> Result<Record<'_>, IsoError> {
    let short = || damaged("directory record's length", record.len() as u64, "room for its fields and name");
    if record.len() <= FIXED {
        return Err(short());
    }
    let name_length = usize::from(record[32]);
    let name = record.get(FIXED..FIXED + name_length).filter(|name| !name.is_empty()).ok_or_else(short)?;
    // A padding byte follows a name of even length (9.1.12).
    let system_use = record.get(FIXED + name_length + (name_length + 1) % 2..).unwrap_or_default();
    // An extended attribute record of this many blocks comes before the data (9.1.2).
    let attributes = u64::from(record[1]);
    Ok(Record {
        extent: Extent {
            offset: (u64::from(le32(record, 2)) + attributes) * SECTOR,
            length: u64::from(le32(record, 10)),
        },
        directory: record[25] & FLAG_DIRECTORY != 0,
        more: record[25] & FLAG_MORE != 0,
        interleaved: record[26] != 0 || record[27] != 0,
        name,
        system_use,
    })
}
