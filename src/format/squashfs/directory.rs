//! Directory listings: runs of entries, each run under a header with the fields that
//! its entries share; and the index with which a reader skips most of a long listing.

use super::SquashfsError;
use super::metadata::{self, MetadataRef, MetadataWriter};

/// The maximum number of entries in a run (`SQUASHFS_DIR_COUNT`).
const MOST_ENTRIES: usize = 256;

/// An entry of a directory: a name, and the inode that it names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub name: &'a [u8],
    pub inode: MetadataRef,
    pub number: u32,
    /// The basic type.
    pub kind: u16,
}

impl Entry<'_> {
    fn encoded_len(&self) -> usize {
        8 + self.name.len()
    }
}

/// The start of a run and its first name, stored in the directory's extended inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexEntry {
    /// Bytes of the listing before the run.
    pub position: u32,
    /// The metadata block of the directory table that contains it.
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
    pub position: MetadataRef,
    pub size: usize,
    pub index: Vec<IndexEntry>,
}

/// Writes the listing of `entries`, which are in byte order of their names.
pub(super) fn write(entries: &[Entry], table: &mut MetadataWriter) -> Result<Listing, SquashfsError> {
    let mut listing = Listing { position: table.position(), size: 0, index: Vec::new() };
    let mut indexed = 0;
    let mut rest = entries;
    let mut bytes = Vec::new();
    while let Some(first) = rest.first() {
        // One index entry for about each metadata block, as in mksquashfs.
        if listing.size - indexed >= metadata::BLOCK - MARGIN {
            indexed = listing.size;
            listing.index.push(IndexEntry {
                // Sizes above 32 bits are refused by the caller before they are used.
                position: listing.size as u32,
                block: table.position().block as u32,
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

/// A header and the longest entry: a run may end this many bytes before the end of a block.
const MARGIN: usize = 12 + 8 + 255;

/// The number of `entries` that one header covers: their inodes are in one metadata block, their numbers differ from
/// the first by at most 16 bits, and they take at most `budget` bytes.
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
    // The inode table's size was checked when the inode was written.
    for word in [entries.len() as u32 - 1, first.inode.block as u32, first.number] {
        out.extend(word.to_le_bytes());
    }
    for entry in entries {
        // `run` checked that the difference fits. Readers take it for a signed number, so it may wrap.
        let difference = entry.number.wrapping_sub(first.number) as u16;
        for half in [entry.inode.offset, difference, entry.kind, entry.name.len() as u16 - 1] {
            out.extend(half.to_le_bytes());
        }
        out.extend_from_slice(entry.name);
    }
}
