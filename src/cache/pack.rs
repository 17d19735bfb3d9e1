//! A pack: many compressed blocks in one file, with their index behind them.
//!
//! ```text
//! blocks, one after the other
//! index    for each block: key, BLAKE3, place, length (76 bytes)
//! footer   BLAKE3 of the index, its place, how many entries, MAGIC (52 bytes)
//! ```
//!
//! A pack is written under a name that nobody looks for, and renamed when it
//! is whole. Nothing is synced: one that a power cut left half is known by its
//! footer's hash, a block in it by its own.

use crate::format::squashfs::{BlockKey, Hit};
use crate::util::atomic_file::{AtomicFile, Durability};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub const ENDING: &str = ".pack";

const MAGIC: &[u8; 8] = b"applpak2";
const ENTRY: usize = 76;
const FOOTER: usize = 52;
/// The length of a block that is stored as it is: only that is kept of it.
const PLAIN: u32 = 0;

#[derive(Debug, Clone)]
pub struct Entry {
    pub key: BlockKey,
    pub hash: [u8; 32],
    pub place: u64,
    pub length: u32,
}

impl Entry {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.key.0);
        out.extend(self.hash);
        out.extend(self.place.to_le_bytes());
        out.extend(self.length.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk()?;
        let (hash, rest) = rest.split_first_chunk()?;
        let (place, rest) = rest.split_first_chunk()?;
        let length = u32::from_le_bytes(rest.try_into().ok()?);
        Some(Self { key: BlockKey(*key), hash: *hash, place: u64::from_le_bytes(*place), length })
    }

    /// The block, unless it is not what was put there.
    pub fn read(&self, file: &File, packed: &mut Vec<u8>) -> Option<Hit> {
        if self.length == PLAIN {
            return Some(Hit::Stored);
        }
        packed.resize(self.length as usize, 0);
        let right = file.read_exact_at(packed, self.place).is_ok() && blake3::hash(packed) == self.hash;
        if !right {
            packed.clear();
        }
        right.then_some(Hit::Compressed)
    }
}

/// The entries of a pack; `None` where it is none, or damaged.
pub fn read_index(file: &File) -> io::Result<Option<Vec<Entry>>> {
    let size = file.metadata()?.len();
    let Some(footer_at) = size.checked_sub(FOOTER as u64) else { return Ok(None) };
    let mut footer = [0; FOOTER];
    file.read_exact_at(&mut footer, footer_at)?;
    let (hash, rest) = footer.split_at(32);
    let place = u64::from_le_bytes(rest[..8].try_into().unwrap_or_default());
    let count = u32::from_le_bytes(rest[8..12].try_into().unwrap_or_default());
    let length = u64::from(count) * ENTRY as u64;
    if rest[12..] != *MAGIC || place.checked_add(length) != Some(footer_at) {
        return Ok(None);
    }
    let mut index = vec![0; length as usize];
    file.read_exact_at(&mut index, place)?;
    if blake3::hash(&index).as_bytes() != hash {
        return Ok(None);
    }
    Ok(Some(index.chunks(ENTRY).filter_map(Entry::decode).collect()))
}

/// A pack that is being written.
#[derive(Debug)]
pub struct PackWriter {
    out: BufWriter<AtomicFile>,
    entries: Vec<Entry>,
    pub size: u64,
}

impl PackWriter {
    pub fn new(folder: &Path) -> io::Result<Self> {
        let file = AtomicFile::create_in(folder)?;
        Ok(Self { out: BufWriter::with_capacity(1 << 18, file), entries: Vec::new(), size: 0 })
    }

    pub fn add(&mut self, key: BlockKey, hash: [u8; 32], packed: Option<&[u8]>) -> io::Result<()> {
        let bytes = packed.unwrap_or_default();
        self.out.write_all(bytes)?;
        // A block is at most 1 MiB.
        self.entries.push(Entry { key, hash, place: self.size, length: bytes.len() as u32 });
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Ends the pack, and gives it its name.
    pub fn finish(mut self) -> io::Result<PathBuf> {
        let mut index = Vec::with_capacity(self.entries.len() * ENTRY);
        self.entries.iter().for_each(|entry| entry.encode(&mut index));
        let hash = blake3::hash(&index);
        self.out.write_all(&index)?;
        self.out.write_all(hash.as_bytes())?;
        self.out.write_all(&self.size.to_le_bytes())?;
        self.out.write_all(&(self.entries.len() as u32).to_le_bytes())?;
        self.out.write_all(MAGIC)?;
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        let folder = file.path().parent().unwrap_or(Path::new("/")).to_owned();
        let path = folder.join(format!("{}{ENDING}", hex::encode(&hash.as_bytes()[..16])));
        file.persist(&path, 0o600, Durability::Unsynced)?;
        Ok(path)
    }
}
