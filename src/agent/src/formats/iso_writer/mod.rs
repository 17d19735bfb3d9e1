//! Makes a small ISO 9660 volume with Rock Ridge in memory (ECMA-119, SUSP 1.12,
//! RRIP 1.12): the disk on which the host serves a guest its config.
//!
//! Only what such a disk needs: folders, files, links, modes, long names, deep
//! paths. Everything belongs to root and has no times, so that the same tree
//! gives the same bytes.

mod both_endian;
mod records;
mod system_use;

use both_endian::{both16, both32};
use records::Record;
use std::collections::BTreeMap;

pub(crate) const SECTOR: usize = 2048;
/// Sixteen sectors are the system's (6.2.1), then come the two descriptors.
const FIRST_FREE: usize = 18;

/// What a directory holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Folder(Folder),
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// Contents.
        bytes: Vec<u8>,
    },
    /// A symbolic link and where it leads.
    Link(Vec<u8>),
}

/// A directory and all below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    /// Permission bits.
    pub mode: u32,
    /// Contents, by name.
    pub entries: BTreeMap<Vec<u8>, Node>,
}

/// Why a tree cannot be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum WriteError {
    #[error("the name {name:?} has {found} bytes, expected 1 to 255")]
    Name { name: String, found: usize },
    #[error(
        "the tree has {found} folders, expected {MAX_FOLDERS} at most, which is what an ISO 9660 path table counts"
    )]
    Folders { found: usize },
    #[error("the volume would have {found} bytes, expected less than 4 GiB")]
    Size { found: usize },
}

/// Numbers of parents in a path table have 16 bits (9.4.4).
const MAX_FOLDERS: usize = u16::MAX as usize;
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;

/// A folder on its way to the volume.
struct Placed<'a> {
    folder: &'a Folder,
    parent: usize,
    identifier: Vec<u8>,
    records: Vec<Record<'a>>,
    block: usize,
    blocks: usize,
}

/// The volume's bytes. `label` is its volume identifier: capitals, digits and `_`, 32 at most.
pub fn write(root: &Folder, label: &str) -> Result<Vec<u8>, WriteError> {
    let mut folders = collect(root)?;
    let table_length: usize = folders.iter().map(|folder| path_entry_length(&folder.identifier)).sum();
    let table_blocks = table_length.div_ceil(SECTOR);
    let mut next = FIRST_FREE + 2 * table_blocks;
    for folder in &mut folders {
        folder.block = next;
        folder.blocks = records::blocks(&folder.records);
        next += folder.blocks;
    }
    let mut continuations = system_use::Areas::starting_at(next);
    for folder in &mut folders {
        for record in &mut folder.records {
            record.place_continuation(&mut continuations);
        }
    }
    next += continuations.blocks();
    let mut files = Vec::new();
    for folder in &mut folders {
        for record in &mut folder.records {
            if let Some(bytes) = record.content {
                record.extent = Some((next, bytes.len()));
                files.push((next, bytes));
                next += bytes.len().div_ceil(SECTOR);
            }
        }
    }
    let size = next * SECTOR;
    if u32::try_from(size).is_err() {
        return Err(WriteError::Size { found: size });
    }
    let mut image = vec![0; size];
    let mut put =
        |block: usize, bytes: &[u8]| image[block * SECTOR..block * SECTOR + bytes.len()].copy_from_slice(bytes);
    put(16, &descriptor(label, next, table_length, table_blocks, &folders[0]));
    put(17, b"\xffCD001\x01");
    put(FIRST_FREE, &path_table(&folders, u16::to_le_bytes, u32::to_le_bytes));
    put(FIRST_FREE + table_blocks, &path_table(&folders, u16::to_be_bytes, u32::to_be_bytes));
    for folder in &folders {
        let place = |index: usize| (folders[index].block, folders[index].blocks * SECTOR);
        put(folder.block, &records::bytes(&folder.records, place));
    }
    for (block, bytes) in continuations.filled() {
        put(block, bytes);
    }
    for (block, bytes) in files {
        put(block, bytes);
    }
    Ok(image)
}

/// All folders in the order of a path table (9.4.4): by level, then by the parent's number, then by name.
fn collect(root: &Folder) -> Result<Vec<Placed<'_>>, WriteError> {
    let mut folders =
        vec![Placed { folder: root, parent: 0, identifier: vec![0], records: Vec::new(), block: 0, blocks: 0 }];
    let mut at = 0;
    while at < folders.len() {
        let (folder, parent) = (folders[at].folder, folders[at].parent);
        let mut records = vec![
            Record::folder(vec![0], at, system_use::own(folder.mode | S_IFDIR, links(folder), at == 0)),
            Record::folder(vec![1], parent, system_use::plain(folders[parent].folder.mode | S_IFDIR, 2)),
        ];
        for (index, (name, node)) in folder.entries.iter().enumerate() {
            if name.is_empty() || name.len() > 255 {
                return Err(WriteError::Name { name: String::from_utf8_lossy(name).into_owned(), found: name.len() });
            }
            // The true names are Rock Ridge's; these are in the same order, as 9.3 wants.
            let identifier = format!("F{index:07}").into_bytes();
            records.push(match node {
                Node::Folder(inner) => {
                    let entries = system_use::named(name, inner.mode | S_IFDIR, links(inner), None);
                    folders.push(Placed {
                        folder: inner,
                        parent: at,
                        identifier: identifier.clone(),
                        records: Vec::new(),
                        block: 0,
                        blocks: 0,
                    });
                    Record::folder(identifier, folders.len() - 1, entries)
                }
                Node::File { mode, bytes } => {
                    Record::file(identifier, bytes, system_use::named(name, mode | S_IFREG, 1, None))
                }
                Node::Link(target) => {
                    Record::file(identifier, &[], system_use::named(name, S_IFLNK | 0o777, 1, Some(target)))
                }
            });
        }
        folders[at].records = records;
        at += 1;
    }
    if folders.len() > MAX_FOLDERS {
        return Err(WriteError::Folders { found: folders.len() });
    }
    Ok(folders)
}

/// A folder's link count: its name, its `.`, and the `..` of each folder in it.
fn links(folder: &Folder) -> u32 {
    let inner = folder.entries.values().filter(|node| matches!(node, Node::Folder(_))).count();
    2 + u32::try_from(inner).unwrap_or(u32::MAX - 2)
}

fn path_entry_length(identifier: &[u8]) -> usize {
    8 + identifier.len() + identifier.len() % 2
}

fn path_table(folders: &[Placed<'_>], short: fn(u16) -> [u8; 2], long: fn(u32) -> [u8; 4]) -> Vec<u8> {
    let mut table = Vec::new();
    for folder in folders {
        table.extend([folder.identifier.len() as u8, 0]);
        table.extend(long(folder.block as u32));
        table.extend(short(folder.parent as u16 + 1));
        table.extend(&folder.identifier);
        if folder.identifier.len() % 2 == 1 {
            table.push(0);
        }
    }
    table
}

/// The primary volume descriptor (8.4).
fn descriptor(label: &str, blocks: usize, table_length: usize, table_blocks: usize, root: &Placed<'_>) -> Vec<u8> {
    let mut bytes = vec![0; SECTOR];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, b"\x01CD001\x01");
    for (at, length, text) in
        [(8, 32, ""), (40, 32, label), (190, 128, ""), (318, 128, ""), (446, 128, ""), (574, 128, ""), (702, 111, "")]
    {
        let text = text.bytes().chain(std::iter::repeat(b' ')).take(length);
        put(at, &text.collect::<Vec<u8>>());
    }
    put(80, &both32(blocks as u32));
    put(120, &both16(1));
    put(124, &both16(1));
    put(128, &both16(SECTOR as u16));
    put(132, &both32(table_length as u32));
    put(140, &(FIRST_FREE as u32).to_le_bytes());
    put(148, &((FIRST_FREE + table_blocks) as u32).to_be_bytes());
    // 8.4.18: the root's record, without a system use field.
    put(156, &records::fixed(&[0], (root.block, root.blocks * SECTOR), true, 34));
    for at in [813, 830, 847, 864] {
        // 8.4.26.1: digits of zero and a zone of zero mean "not given".
        put(at, b"0000000000000000\0");
    }
    put(881, &[1]);
    bytes
}

#[cfg(test)]
mod tests;
