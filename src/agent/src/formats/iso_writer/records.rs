//! Directory records (ECMA-119, 9.1).

use super::SECTOR;
use super::both_endian::{both16, both32};
use super::system_use::{Areas, CONTINUATION, Entries};

/// Length of a record's fixed part, and the longest record (its length is one byte, and even).
const FIXED: usize = 33;
const LONGEST: usize = 254;

pub struct Record<'a> {
    identifier: Vec<u8>,
    /// The folder that this names, by its number.
    folder: Option<usize>,
    pub content: Option<&'a [u8]>,
    /// Block and length of a file.
    pub extent: Option<(usize, usize)>,
    inside: Vec<u8>,
    outside: Vec<Vec<u8>>,
}

impl<'a> Record<'a> {
    pub fn folder(identifier: Vec<u8>, number: usize, entries: Entries) -> Self {
        Self::new(identifier, Some(number), None, entries)
    }

    pub fn file(identifier: Vec<u8>, content: &'a [u8], entries: Entries) -> Self {
        Self::new(identifier, None, Some(content), entries)
    }

    fn new(identifier: Vec<u8>, folder: Option<usize>, content: Option<&'a [u8]>, entries: Entries) -> Self {
        let room = LONGEST - head(&identifier);
        let (inside, outside) = split(entries, room);
        Self { identifier, folder, content, extent: None, inside, outside }
    }

    /// Its length; a continuation entry's place is kept before its target is known.
    fn length(&self) -> usize {
        let continued = if self.outside.is_empty() { 0 } else { CONTINUATION };
        (head(&self.identifier) + self.inside.len() + continued).next_multiple_of(2)
    }

    pub fn place_continuation(&mut self, areas: &mut Areas) {
        if !self.outside.is_empty() {
            self.inside.extend(areas.chain(&std::mem::take(&mut self.outside)));
        }
    }
}

/// The fixed part with the identifier and its padding (9.1.12).
fn head(identifier: &[u8]) -> usize {
    FIXED + identifier.len() + (identifier.len() + 1) % 2
}

/// As many entries in their order as fit into `room`, and those that do not.
fn split(entries: Entries, room: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
    let total: usize = entries.iter().map(Vec::len).sum();
    let room = if total <= room { room } else { room - CONTINUATION };
    let mut inside = Vec::new();
    let mut entries = entries.into_iter().peekable();
    while let Some(entry) = entries.next_if(|entry| inside.len() + entry.len() <= room) {
        inside.extend(entry);
    }
    (inside, entries.collect())
}

/// Sectors that a folder of these records takes: no record crosses a sector's end (6.8.1.1).
pub fn blocks(records: &[Record<'_>]) -> usize {
    let mut at = 0;
    for record in records {
        at = start(at, record.length()) + record.length();
    }
    at.div_ceil(SECTOR)
}

fn start(at: usize, length: usize) -> usize {
    let room = SECTOR - at % SECTOR;
    if length > room { at + room } else { at }
}

/// A folder's bytes; `place` gives the block and length of a folder by its number.
pub fn bytes(records: &[Record<'_>], place: impl Fn(usize) -> (usize, usize)) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        let extent = record.folder.map(&place).or(record.extent).unwrap_or_default();
        // An empty file has no extent (6.5.1).
        let extent = if extent.1 == 0 { (0, 0) } else { extent };
        let length = record.length();
        bytes.resize(start(bytes.len(), length), 0);
        let end = bytes.len() + length;
        bytes.extend(fixed(&record.identifier, extent, record.folder.is_some(), length));
        bytes.extend(&record.inside);
        bytes.resize(end, 0);
    }
    bytes
}

/// A record up to its system use field.
pub fn fixed(identifier: &[u8], extent: (usize, usize), folder: bool, length: usize) -> Vec<u8> {
    let mut bytes = vec![length as u8, 0];
    bytes.extend(both32(extent.0 as u32));
    bytes.extend(both32(extent.1 as u32));
    // 1970-01-01, as years from 1900, month, day, time, zone (9.1.5).
    bytes.extend([70, 1, 1, 0, 0, 0, 0]);
    bytes.extend([if folder { 2 } else { 0 }, 0, 0]);
    bytes.extend(both16(1));
    bytes.push(identifier.len() as u8);
    bytes.extend(identifier);
    bytes.resize(head(identifier), 0);
    bytes
}
