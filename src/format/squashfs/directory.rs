//! Directory listings: runs of entries, each run under a header that holds what
//! its entries share; and the index by which a reader skips most of a long one.

use super::SquashfsError;
use super::metadata::{self, MetadataWriter, Place};

/// A run holds at most so many entries (`SQUASHFS_DIR_COUNT`).
const MOST_ENTRIES: usize = 256;

/// An entry of a directory: a name, and the inode that it names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub name: &'a [u8],
    pub inode: Place,
    pub number: u32,
    /// The basic type.
    pub kind: u16,
}

impl Entry<'_> {
    fn encoded_len(&self) -> usize {
        8 + self.name.len()
    }
}

/// Where a run begins, and with which name: kept in the directory's extended inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexEntry {
    /// Bytes of the listing before the run.
    pub position: u32,
    /// The directory table's metadata block in which it lies.
    pub block: u32,
    pub name: Vec<u8>,
}

impl IndexEntry {
    pub fn encode(&self, out: &mut Vec<u8>) {
        // Names hold 1 to 255 bytes.
        for word in [self.position, self.block, self.name.len() as u32 - 1] {
            out.extend(word.to_le_bytes());
        }
        out.extend_from_slice(&self.name);
    }
}

/// A listing that was written.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub place: Place,
    pub size: usize,
    pub index: Vec<IndexEntry>,
}

/// Writes the listing of `entries`, which are in byte order of their names.
pub(super) fn write(entries: &[Entry], table: &mut MetadataWriter) -> Result<Listing, SquashfsError> {
    let mut listing = Listing { place: table.place(), size: 0, index: Vec::new() };
    let mut indexed = 0;
    let mut rest = entries;
    let mut bytes = Vec::new();
    while let Some(first) = rest.first() {
        // An index entry for each metadata block's worth, as mksquashfs has it.
        if listing.size - indexed >= metadata::BLOCK - MARGIN {
            indexed = listing.size;
            listing.index.push(IndexEntry {
                // Sizes above 32 bits are refused by the caller before they are used.
                position: listing.size as u32,
                block: table.place().block as u32,
                name: first.name.to_vec(),
            });
        }
        let budget = metadata::BLOCK - (listing.size - indexed);
        let length = run(rest, budget);
        bytes.clear();
        encode_run(&rest[..length], &mut bytes);
        table.write(&bytes)?;
        listing.size += bytes.len();
        rest = &rest[length..];
    }
    Ok(listing)
}

/// A header and the longest entry: what may be missing to a whole block when a run ends.
const MARGIN: usize = 12 + 8 + 255;

/// How many of `entries` go under one header: those with inodes in one metadata
/// block, with numbers within 16 bits of the first's, and no more than fit in `budget` bytes.
fn run(entries: &[Entry], budget: usize) -> usize {
    let first = &entries[0];
    let mut size = 12;
    let length = entries
        .iter()
        .take(MOST_ENTRIES)
        .take_while(|entry| {
            size += entry.encoded_len();
            size <= budget
                && entry.inode.block == first.inode.block
                && i16::try_from(i64::from(entry.number) - i64::from(first.number)).is_ok()
        })
        .count();
    length.max(1)
}

fn encode_run(entries: &[Entry], out: &mut Vec<u8>) {
    let first = &entries[0];
    // The inode table's size was checked when the inode was placed.
    for word in [entries.len() as u32 - 1, first.inode.block as u32, first.number] {
        out.extend(word.to_le_bytes());
    }
    for entry in entries {
        // `run` saw that the difference fits; it wraps like the signed number that readers take it for.
        let difference = entry.number.wrapping_sub(first.number) as u16;
        for half in [entry.inode.offset, difference, entry.kind, entry.name.len() as u16 - 1] {
            out.extend(half.to_le_bytes());
        }
        out.extend_from_slice(entry.name);
    }
}
