//! Reads ISO 9660 volumes with Rock Ridge (ECMA-119; RRIP 1.12), for a comparison.

use super::{Container, Item, Problem, damaged};
use crate::tree::Content;
use appliance_contract::medium_record::{self, MediumRecord, Part};
use std::collections::BTreeSet;

const SECTOR: u64 = 2048;
const MAX_DIRECTORY_SIZE: u64 = 16 << 20;
const MAX_DEPTH: usize = 32;

pub struct Volume {
    items: Vec<Item>,
    places: Vec<(u64, u64)>,
    image: Content,
}

struct Record {
    extent: u64,
    length: u64,
    folder: bool,
    more: bool,
    name: Vec<u8>,
    facts: String,
}

impl Volume {
    /// Opens a volume; `None` if the content is not one.
    pub fn open(image: &Content) -> Result<Option<Self>, Problem> {
        if image.len() < 17 * SECTOR {
            return Ok(None);
        }
        let descriptor = read(image, 16 * SECTOR, SECTOR)?;
        if descriptor[..6] != *b"\x01CD001" {
            return Ok(None);
        }
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let root = (u64::from(le32(&descriptor, 158)) * SECTOR, u64::from(le32(&descriptor, 166)));
        walk(image, root, b"", MAX_DEPTH, &mut seen, &mut found)?;
        found.extend(parts(image, &descriptor));
        found.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        let (items, places) = found.into_iter().unzip();
        Ok(Some(Self { items, places, image: image.clone() }))
    }
}

/// The parts of a medium that are not files, from the medium's record. The part with the record itself is left out,
/// because it differs if any other part does.
fn parts(image: &Content, descriptor: &[u8]) -> Found {
    let at = (medium_record::OFFSET - 16 * SECTOR) as usize;
    let bytes = descriptor.get(at..at + medium_record::SIZE).and_then(|bytes| bytes.try_into().ok());
    let Some(Ok(Some(record))) = bytes.map(MediumRecord::parse) else { return Found::new() };
    let other = |part: &Part| !matches!(part, Part::Descriptors | Part::BetweenFiles);
    let found = Part::ALL.into_iter().filter(other).map(|part| {
        let range = record.range(part);
        let (start, length) = (range.start, range.end - range.start);
        // No conflict: a file's path begins with a slash.
        let item = Item { path: part.name().into(), facts: format!("bytes from {start} on"), is_file: length > 0 };
        (item, (start, length))
    });
    found.filter(|(_, (start, length))| start + length <= image.len()).collect()
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn read(image: &Content, start: u64, length: u64) -> Result<Vec<u8>, Problem> {
    if start.saturating_add(length) > image.len() {
        return Err(damaged(
            "end of an ISO 9660 extent",
            start.saturating_add(length),
            format_args!("{} at most", image.len()),
        ));
    }
    let mut bytes = Vec::new();
    image.read_at(start, usize::try_from(length).unwrap_or(usize::MAX), &mut bytes)?;
    Ok(bytes)
}

type Found = Vec<(Item, (u64, u64))>;

fn walk(
    image: &Content,
    (start, length): (u64, u64),
    path: &[u8],
    depth: usize,
    seen: &mut BTreeSet<u64>,
    found: &mut Found,
) -> Result<(), Problem> {
    if depth == 0 || length > MAX_DIRECTORY_SIZE || !seen.insert(start) {
        return Err(damaged(
            "size or place of an ISO 9660 directory",
            length,
            "a tree of directories smaller than 16 MiB",
        ));
    }
    let bytes = read(image, start, length)?;
    let mut at = 0;
    let mut pieces: Option<(u64, u64)> = None;
    while at < bytes.len() {
        let size = usize::from(bytes[at]);
        if size == 0 {
            at = (at / SECTOR as usize + 1) * SECTOR as usize;
            continue;
        }
        let record = bytes.get(at..at + size).filter(|record| record.len() > 33);
        let record =
            parse(image, record.ok_or_else(|| damaged("length of a directory record", size as u64, "34 and more"))?)?;
        at += size;
        if record.name == [0] || record.name == [1] {
            continue;
        }
        let name = [path, b"/", &record.name].concat();
        let place = match pieces.take() {
            Some((first, before)) => (first, before + record.length),
            None => (record.extent, record.length),
        };
        if record.more {
            pieces = Some(place);
            continue;
        }
        let facts =
            format!("{}{}", record.facts, if record.folder { String::new() } else { format!(", {} bytes", place.1) });
        found.push((Item { path: name.clone(), facts, is_file: !record.folder && place.1 > 0 }, place));
        if record.folder {
            walk(image, (record.extent, record.length), &name, depth - 1, seen, found)?;
        }
    }
    Ok(())
}

fn parse(image: &Content, record: &[u8]) -> Result<Record, Problem> {
    let name_length = usize::from(record[32]);
    let name = record.get(33..33 + name_length).unwrap_or_default().to_vec();
    let mut area = record.get(33 + name_length + (name_length + 1) % 2..).unwrap_or_default().to_vec();
    let mut long: Option<Vec<u8>> = None;
    let mut facts = format!("time {}", hex::encode(&record[18..25]));
    // A record has few continuation areas (SUSP 5.1).
    for _ in 0..16 {
        let mut next = None;
        let mut rest = area.as_slice();
        while rest.len() >= 4 {
            let length = usize::from(rest[2]);
            if length < 4 || length > rest.len() {
                break;
            }
            let data = &rest[4..length];
            match &rest[..2] {
                b"NM" if data.first().is_some_and(|flags| flags & 6 == 0) => {
                    long.get_or_insert_default().extend_from_slice(&data[1..]);
                }
                b"CE" if data.len() >= 24 => next = Some((le32(data, 0), le32(data, 8), le32(data, 16))),
                b"PX" | b"SL" | b"PN" | b"TF" => {
                    facts.push_str(&format!(", {} {}", String::from_utf8_lossy(&rest[..2]), hex::encode(data)));
                }
                _ => {}
            }
            rest = &rest[length..];
        }
        let Some((block, offset, length)) = next else { break };
        area = read(image, u64::from(block) * SECTOR + u64::from(offset), u64::from(length.min(2048)))?;
    }
    Ok(Record {
        extent: u64::from(le32(record, 2)) * SECTOR,
        length: u64::from(le32(record, 10)),
        folder: record[25] & 2 != 0,
        more: record[25] & 0x80 != 0,
        name: long.unwrap_or(name),
        facts,
    })
}

impl Container for Volume {
    fn items(&self) -> &[Item] {
        &self.items
    }

    fn content(&mut self, index: usize) -> Result<Content, Problem> {
        let (start, length) = self.places[index];
        if start.saturating_add(length) > self.image.len() {
            return Err(damaged(
                "end of a file",
                start.saturating_add(length),
                format_args!("{} at most", self.image.len()),
            ));
        }
        part(&self.image, start, length)
    }
}

/// A part of a content, which is read only when needed.
fn part(content: &Content, start: u64, length: u64) -> Result<Content, Problem> {
    Ok(match content {
        Content::Host { path, offset, .. } => {
            Content::Host { path: path.clone(), offset: offset + start, length, fingerprint: None }
        }
        Content::Bytes(_) => Content::from(read(content, start, length)?),
    })
}
