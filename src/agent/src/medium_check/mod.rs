//! Whether a medium is, byte for byte, what it was made as: files by the list of checksums, all else by the record of its
//! parts. What a partition added behind the image changes is judged by its structure.

mod list;
mod tables;
#[cfg(test)]
mod tests;

use crate::formats::iso::{FileRange, Volume};
use appliance_contract::Sha256;
use appliance_contract::medium;
use appliance_contract::medium_record::{self, MediumRecord, Part};
use appliance_shared::read_at::{ReadAt, array_at};
use std::ops::Range;

/// What is known of the medium beside its own bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// The root image, where it has a hash tree.
    pub verified: Option<VerifiedRoot<'a>>,
    /// A CD or DVD: nobody adds a partition to it.
    pub is_disc: bool,
}

/// A root image that was read through dm-verity.
#[derive(Debug, Clone, Copy)]
pub struct VerifiedRoot<'a> {
    /// Its path on the medium.
    pub path: &'a str,
    /// Where in the image the superblock is, which dm-verity does not look at.
    pub superblock: u64,
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Findings {
    /// A line for each damaged part.
    pub damaged: Vec<String>,
    /// The medium does not say what its length, and what lies outside its files, should be.
    pub is_unrecorded: bool,
    /// The partition tables are not the image's, and valid.
    pub tables_changed: bool,
    /// Files that were read, and their bytes.
    pub files: usize,
    /// Bytes of all files.
    pub file_bytes: u64,
    /// Bytes of the whole medium, where it records them.
    pub length: Option<u64>,
}

/// Reads the medium on `device`.
pub fn check(device: &dyn ReadAt, known: &Known<'_>) -> Findings {
    let mut findings = Findings::default();
    let record = match read_record(device) {
        Ok(record) => {
            findings.is_unrecorded = record.is_none();
            record
        }
        Err(reason) => {
            findings.damaged.push(reason);
            None
        }
    };
    let files = match check_files(device, known, record.as_ref(), &mut findings) {
        Ok(files) => files,
        Err(reason) => {
            findings.damaged.push(reason);
            None
        }
    };
    if let Some(record) = &record {
        findings.length = Some(record.length());
        check_parts(device, record, files.as_deref(), known.is_disc, &mut findings);
    }
    findings
}

fn read_record(device: &dyn ReadAt) -> Result<Option<MediumRecord>, String> {
    let bytes =
        array_at::<{ medium_record::SIZE }>(device, medium_record::OFFSET).map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or("the medium ends before the record of its parts")?;
    MediumRecord::parse(&bytes).map_err(|error| error.to_string())
}

/// The files against the list of checksums. The places of all files in their order, unless one was not found.
fn check_files(
    device: &dyn ReadAt,
    known: &Known<'_>,
    record: Option<&MediumRecord>,
    findings: &mut Findings,
) -> Result<Option<Vec<Range<u64>>>, String> {
    let volume = Volume::open(device).map_err(|error| error.to_string())?;
    let place = bytes_of(volume.find(medium::CHECKSUMS).map_err(|error| error.to_string())?);
    if let Some(record) = record {
        findings.damaged.extend(differs(device, medium::CHECKSUMS, &place, &[], record.checksums));
    }
    let list = list::read(device, &place).map_err(|reason| format!("{}: {reason}", medium::CHECKSUMS))?;
    let mut places = vec![place];
    let mut complete = true;
    for (expected, path) in &list {
        let place = match volume.find(path) {
            Ok(range) => bytes_of(range),
            Err(error) => {
                findings.damaged.push(error.to_string());
                complete = false;
                continue;
            }
        };
        let damage = match (known.verified.filter(|root| root.path == path), record) {
            (Some(root), Some(record)) => {
                let start = place.start + root.superblock;
                let block = start..start + medium_record::SUPERBLOCK as u64;
                differs(device, "verity superblock of the root image", &block, &[], record.superblock)
            }
            (Some(_), None) => None,
            (None, _) => {
                findings.files += 1;
                findings.file_bytes += place.end - place.start;
                differs(device, path, &place, &[], *expected)
            }
        };
        findings.damaged.extend(damage);
        places.insert(places.partition_point(|other| other.start < place.start), place);
    }
    Ok(complete.then_some(places))
}

fn check_parts(
    device: &dyn ReadAt,
    record: &MediumRecord,
    files: Option<&[Range<u64>]>,
    is_disc: bool,
    findings: &mut Findings,
) {
    // A device of unknown size is one of which nothing can be read.
    let size = device.size().unwrap_or(0);
    let mut lost = String::new();
    let mut tables = Vec::new();
    for part in Part::ALL {
        let range = record.range(part);
        let inside = match (part, files) {
            (Part::BetweenFiles, None) => continue,
            (Part::BetweenFiles, Some(files)) => files,
            _ => &[],
        };
        if range.end > size {
            lost += if lost.is_empty() { "" } else { ", " };
            lost += part.name();
        } else if let Some(damage) = differs(device, part.name(), &range, inside, record.sha256(part)) {
            if part.is_table() {
                tables.push((part, damage));
            } else {
                findings.damaged.push(damage);
            }
        }
    }
    if !lost.is_empty() {
        let expected = record.length();
        findings.damaged.push(format!(
            "the medium ends after {size} bytes, expected {expected}; it lacks some or all bytes of: {lost}"
        ));
    }
    tables::check(device, record, tables, is_disc, findings);
}

/// What is wrong with the bytes in `range` that are in none of `files`, if anything.
fn differs(
    device: &dyn ReadAt,
    what: &str,
    range: &Range<u64>,
    files: &[Range<u64>],
    expected: Sha256,
) -> Option<String> {
    let found = medium_record::sum(range.clone(), files, |at, piece| device.read_exact_at(piece, at));
    let problem = match found {
        Ok(found) if found == expected => return None,
        Ok(found) => format!("SHA-256 is {found}, expected {expected}"),
        Err(error) => error.to_string(),
    };
    Some(format!("{what}, bytes {} to {}: {problem}", range.start, range.end.saturating_sub(1)))
}

fn bytes_of(range: FileRange) -> Range<u64> {
    range.offset..range.offset + range.length
}
