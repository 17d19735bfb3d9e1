//! What the system use fields say (SUSP 1.12, RRIP 1.12): long names and relocated directories.

use super::{IsoError, damaged};
use crate::formats::iso::SECTOR;
use appliance_shared::read_at::{ReadAt, le32};

/// Continuation areas that one record may chain; one holds several long names.
const MAX_CONTINUATIONS: usize = 16;
const MAX_NAME: usize = 255;
const NM_CONTINUE: u8 = 0x01;
const NM_SPECIAL: u8 = 0x06;

/// From the root's own record: `SP` says that SUSP is used, and how many bytes to skip in every other record (SUSP 5.3).
pub fn skip(system_use: &[u8]) -> Option<usize> {
    // Where a CD-XA field comes first, SP follows its 14 bytes.
    [0, 14].iter().find_map(|&at| {
        let entry = system_use.get(at..at + 7)?;
        (entry.starts_with(b"SP") && entry[2] == 7 && entry[4..6] == [0xbe, 0xef]).then(|| usize::from(entry[6]))
    })
}

/// The name in `NM` entries, which may be in pieces and partly in continuation areas (RRIP 4.1.4).
pub fn name(device: &dyn ReadAt, system_use: &[u8], skip: usize) -> Result<Option<Vec<u8>>, IsoError> {
    let mut name = None;
    walk(device, system_use, skip, |signature, data| {
        if signature == b"NM"
            && let Some((&flags, piece)) = data.split_first()
            && flags & NM_SPECIAL == 0
        {
            let name: &mut Vec<u8> = name.get_or_insert_default();
            name.extend_from_slice(piece);
            if name.len() > MAX_NAME {
                return Err(damaged("Rock Ridge name's length", name.len() as u64, "255 at most"));
            }
            return Ok(flags & NM_CONTINUE != 0);
        }
        Ok(true)
    })?;
    Ok(name)
}

/// The block of the directory that a `CL` entry stands for (RRIP 4.1.5.1).
pub fn child(device: &dyn ReadAt, system_use: &[u8], skip: usize) -> Result<Option<u32>, IsoError> {
    let mut block = None;
    walk(device, system_use, skip, |signature, data| {
        if signature == b"CL" && data.len() >= 4 {
            block = Some(le32(data, 0));
        }
        Ok(block.is_none())
    })?;
    Ok(block)
}

/// Gives each entry's signature and data to `see` until it says false.
fn walk(
    device: &dyn ReadAt,
    system_use: &[u8],
    skip: usize,
    mut see: impl FnMut(&[u8], &[u8]) -> Result<bool, IsoError>,
) -> Result<(), IsoError> {
    let mut area = system_use.get(skip..).unwrap_or_default().to_vec();
    for _ in 0..=MAX_CONTINUATIONS {
        let mut next = None;
        let mut rest = area.as_slice();
        // Fewer than four bytes are padding.
        while let [a, b, length, _version, ..] = *rest {
            let length = usize::from(length);
            if length < 4 || length > rest.len() {
                break;
            }
            let data = &rest[4..length];
            match &[a, b] {
                b"CE" if data.len() >= 24 => next = Some((le32(data, 0), le32(data, 8), le32(data, 16))),
                b"ST" => break,
                signature => {
                    if !see(signature, data)? {
                        return Ok(());
                    }
                }
            }
            rest = &rest[length..];
        }
        let Some((block, offset, length)) = next else { return Ok(()) };
        area = continuation(device, block, offset, length)?;
    }
    Err(damaged(
        "number of continuation areas",
        MAX_CONTINUATIONS as u64 + 1,
        format_args!("{MAX_CONTINUATIONS} at most"),
    ))
}

fn continuation(device: &dyn ReadAt, block: u32, offset: u32, length: u32) -> Result<Vec<u8>, IsoError> {
    // SUSP 5.1: a continuation area lies within one logical sector.
    if u64::from(offset) + u64::from(length) > SECTOR {
        return Err(damaged("end of a continuation area", u64::from(offset) + u64::from(length), "2048 at most"));
    }
    let start = u64::from(block) * SECTOR + u64::from(offset);
    if start + u64::from(length) > device.size()? {
        return Err(damaged("place of a continuation area", start, "inside the device"));
    }
    let mut bytes = vec![0; length as usize];
    device.read_exact_at(&mut bytes, start)?;
    Ok(bytes)
}
