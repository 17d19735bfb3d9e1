//! System use entries: modes, names, links (RRIP 1.12), and continuation areas (SUSP 1.12).

use super::SECTOR;
use super::both_endian::both32;

/// Entries of one record, each whole: none is split over a record's end.
pub type Entries = Vec<Vec<u8>>;

/// Length of a `CE` entry (SUSP 5.1).
pub const CONTINUATION: usize = 28;
/// Bytes of a name or of a link's part in one entry; an entry's length is one byte.
const PIECE: usize = 120;
const CONTINUES: u8 = 1;

fn entry(signature: &[u8; 2], data: &[u8]) -> Vec<u8> {
    [signature.as_slice(), &[data.len() as u8 + 4, 1], data].concat()
}

/// Mode, links, owner, group, serial number (RRIP 4.1.1); all is root's.
fn attributes(mode: u32, links: u32) -> Vec<u8> {
    entry(b"PX", &[both32(mode), both32(links), both32(0), both32(0), both32(0)].concat())
}

/// For `..`.
pub fn plain(mode: u32, links: u32) -> Entries {
    vec![attributes(mode, links)]
}

/// For `.`; the volume's root says there that SUSP and Rock Ridge are used (SUSP 5.3 and 5.5).
pub fn own(mode: u32, links: u32, root: bool) -> Entries {
    if !root {
        return plain(mode, links);
    }
    const IDENTIFIER: &[u8] = b"IEEE_P1282";
    const SOURCE: &[u8] = b"IEEE P1282, RRIP 1.12";
    let extension = [&[IDENTIFIER.len() as u8, 0, SOURCE.len() as u8, 1], IDENTIFIER, SOURCE].concat();
    vec![entry(b"SP", &[0xbe, 0xef, 0]), attributes(mode, links), entry(b"ER", &extension)]
}

/// For everything with a name of its own; `target` is a link's.
pub fn named(name: &[u8], mode: u32, links: u32, target: Option<&[u8]>) -> Entries {
    let mut entries = vec![attributes(mode, links)];
    let last = name.len().div_ceil(PIECE).saturating_sub(1);
    for (index, piece) in name.chunks(PIECE).enumerate() {
        let flags = if index < last { CONTINUES } else { 0 };
        entries.push(entry(b"NM", &[&[flags], piece].concat()));
    }
    if let Some(target) = target {
        link(target, &mut entries);
    }
    entries
}

/// A link's target as component records, an entry each (RRIP 4.1.3).
fn link(target: &[u8], entries: &mut Entries) {
    const CURRENT: u8 = 2;
    const PARENT: u8 = 4;
    const ROOT: u8 = 8;
    let mut components = Vec::new();
    if target.starts_with(b"/") {
        components.push(vec![ROOT, 0]);
    }
    for part in target.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
        match part {
            b"." => components.push(vec![CURRENT, 0]),
            b".." => components.push(vec![PARENT, 0]),
            _ => {
                let last = part.len().div_ceil(PIECE) - 1;
                for (index, piece) in part.chunks(PIECE).enumerate() {
                    let flags = if index < last { CONTINUES } else { 0 };
                    components.push([&[flags, piece.len() as u8], piece].concat());
                }
            }
        }
    }
    let last = components.len().saturating_sub(1);
    for (index, component) in components.iter().enumerate() {
        let flags = if index < last { CONTINUES } else { 0 };
        entries.push(entry(b"SL", &[&[flags], component.as_slice()].concat()));
    }
}

/// The sectors of all continuation areas.
pub struct Areas {
    first: usize,
    bytes: Vec<u8>,
}

impl Areas {
    pub fn starting_at(block: usize) -> Self {
        Self { first: block, bytes: Vec::new() }
    }

    /// Puts `entries` into one area or several in a chain, none over a
    /// sector's end (SUSP 5.1), and gives the `CE` entry that leads to the first.
    pub fn chain(&mut self, entries: &[Vec<u8>]) -> Vec<u8> {
        let mut taken = 0;
        let mut length = 0;
        let room = SECTOR - self.bytes.len() % SECTOR;
        let total: usize = entries.iter().map(Vec::len).sum();
        let fits = if total <= room { room } else { room.saturating_sub(CONTINUATION) };
        while let Some(entry) = entries.get(taken).filter(|entry| length + entry.len() <= fits) {
            length += entry.len();
            taken += 1;
        }
        if taken == 0 {
            self.bytes.resize(self.bytes.len().next_multiple_of(SECTOR), 0);
            return self.chain(entries);
        }
        let offset = self.bytes.len();
        self.bytes.extend(entries[..taken].concat());
        let (rest, length) = (&entries[taken..], if taken < entries.len() { length + CONTINUATION } else { length });
        if !rest.is_empty() {
            // The next area begins behind this one's own CE entry, whose place is kept.
            let place = self.bytes.len();
            self.bytes.resize(place + CONTINUATION, 0);
            let next = self.chain(rest);
            self.bytes[place..place + CONTINUATION].copy_from_slice(&next);
        }
        let block = self.first + offset / SECTOR;
        let fields = [block as u32, (offset % SECTOR) as u32, length as u32].map(both32).concat();
        entry(b"CE", &fields)
    }

    pub fn blocks(&self) -> usize {
        self.bytes.len().div_ceil(SECTOR)
    }

    pub fn filled(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.bytes.chunks(SECTOR).enumerate().map(|(index, bytes)| (self.first + index, bytes))
    }
}
