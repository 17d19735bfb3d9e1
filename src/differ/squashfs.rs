//! Reads squashfs 4.0 images of any writer, for a comparison.

use super::{Container, Item, Problem, damaged};
use crate::tree::Content;
use std::collections::{BTreeSet, HashMap};
use std::io::Read;

const SUPERBLOCK: u64 = 96;
const METADATA: usize = 8192;
const NO_FRAGMENT: u32 = u32::MAX;
const NONE: u64 = u64::MAX;
const MAX_DEPTH: usize = 128;
const MAX_FILE_SIZE: u64 = 1 << 31;
/// The bit in a data block's size that means that the block is not compressed.
const STORED: u32 = 1 << 24;

pub struct Image {
    reader: Reader,
    items: Vec<Item>,
    files: Vec<Option<File>>,
}

#[derive(Debug, Clone)]
struct File {
    start: u64,
    size: u64,
    fragment: (u32, u32),
    blocks: Vec<u32>,
}

struct Reader {
    image: Content,
    compression: u16,
    block_size: u32,
    inode_table: u64,
    directory_table: u64,
    ids: Vec<u32>,
    fragments: Vec<(u64, u32)>,
    xattrs: Option<(u64, Vec<[u8; 16]>)>,
    /// Decompressed metadata blocks, each with the offset of the next one.
    metadata: HashMap<u64, (std::sync::Arc<Vec<u8>>, u64)>,
    /// Directories that were listed: each must have one path only.
    listed: BTreeSet<u64>,
    /// The last fragment block, which most likely also holds the end of the next file.
    last_fragment: Option<(u32, Vec<u8>)>,
}

impl Image {
    /// Opens an image; `None` if the content is not one.
    pub fn open(image: &Content) -> Result<Option<Self>, Problem> {
        if image.len() < SUPERBLOCK {
            return Ok(None);
        }
        let head = bytes(image, 0, SUPERBLOCK)?;
        if le32(&head, 0) != 0x7371_7368 {
            return Ok(None);
        }
        if le16(&head, 28) != 4 {
            return Err(damaged("squashfs version", le16(&head, 28).into(), "4"));
        }
        let block_size = le32(&head, 12);
        if !block_size.is_power_of_two() || !(4096..=1 << 20).contains(&block_size) {
            return Err(damaged("squashfs block size", block_size.into(), "4096 to 1048576"));
        }
        let mut reader = Reader {
            image: image.clone(),
            compression: le16(&head, 20),
            block_size,
            inode_table: le64(&head, 64),
            directory_table: le64(&head, 72),
            ids: Vec::new(),
            fragments: Vec::new(),
            xattrs: None,
            metadata: HashMap::new(),
            listed: BTreeSet::new(),
            last_fragment: None,
        };
        let ids = reader.table(le64(&head, 48), le16(&head, 26).into(), 4)?;
        reader.ids = ids.chunks_exact(4).map(|id| le32(id, 0)).collect();
        let fragments = reader.table(le64(&head, 80), le32(&head, 16).into(), 16)?;
        reader.fragments = fragments.chunks_exact(16).map(|entry| (le64(entry, 0), le32(entry, 8))).collect();
        let xattr_table = le64(&head, 56);
        if xattr_table != NONE {
            let header = bytes(image, xattr_table, 16)?;
            let sets = reader.table(xattr_table + 16, le32(&header, 8).into(), 16)?;
            let sets = sets.chunks_exact(16).filter_map(|set| set.try_into().ok()).collect();
            reader.xattrs = Some((le64(&header, 0), sets));
        }
        let mut found = Vec::new();
        reader.walk(le64(&head, 32), b"", MAX_DEPTH, &mut found)?;
        found.sort_by(|(a, _): &(Item, _), (b, _)| a.path.cmp(&b.path));
        let (items, files) = found.into_iter().unzip();
        Ok(Some(Self { reader, items, files }))
    }
}

impl Container for Image {
    fn items(&self) -> &[Item] {
        &self.items
    }

    fn content(&mut self, index: usize) -> Result<Content, Problem> {
        match self.files[index].clone() {
            Some(file) => Ok(Content::from(self.reader.file(&file)?)),
            None => Ok(Content::from(Vec::new())),
        }
    }
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|part| part.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|part| part.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|part| part.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn bytes(image: &Content, start: u64, length: u64) -> Result<Vec<u8>, Problem> {
    let end = start.saturating_add(length);
    if end > image.len() {
        return Err(damaged("offset in the squashfs image", end, format_args!("{} at most", image.len())));
    }
    let mut out = Vec::new();
    image.read_at(start, usize::try_from(length).unwrap_or(usize::MAX), &mut out)?;
    Ok(out)
}

impl Reader {
    fn unpack(&self, packed: &[u8], most: usize) -> Result<Vec<u8>, Problem> {
        let mut out = Vec::with_capacity(most);
        let most = most as u64;
        match self.compression {
            1 => drop(flate2::read::ZlibDecoder::new(packed).take(most).read_to_end(&mut out)?),
            4 => drop(liblzma::read::XzDecoder::new(packed).take(most).read_to_end(&mut out)?),
            6 => drop(zstd::Decoder::with_buffer(packed)?.take(most).read_to_end(&mut out)?),
            other => return Err(damaged("squashfs compression", other.into(), "1 (gzip), 4 (xz) or 6 (zstd)")),
        }
        Ok(out)
    }

    /// The metadata block at `start`, and the offset of the next one.
    fn block(&mut self, start: u64) -> Result<(std::sync::Arc<Vec<u8>>, u64), Problem> {
        if let Some(known) = self.metadata.get(&start) {
            return Ok(known.clone());
        }
        let length = le16(&bytes(&self.image, start, 2)?, 0);
        let size = u64::from(length & 0x7fff);
        let packed = bytes(&self.image, start + 2, size)?;
        let block = if length & 0x8000 == 0 { self.unpack(&packed, METADATA)? } else { packed };
        let known = (std::sync::Arc::new(block), start + 2 + size);
        self.metadata.insert(start, known.clone());
        Ok(known)
    }

    /// `length` bytes of metadata from `offset` in the block at `start` on, and the position of their end.
    fn metadata(&mut self, start: u64, offset: usize, length: usize) -> Result<(Vec<u8>, (u64, usize)), Problem> {
        let (mut out, mut at, mut offset) = (Vec::new(), start, offset);
        loop {
            let (block, next) = self.block(at)?;
            let part = block.get(offset..).unwrap_or_default();
            let part = &part[..part.len().min(length - out.len())];
            out.extend_from_slice(part);
            offset += part.len();
            if out.len() == length {
                return Ok((out, (at, offset)));
            }
            if block.is_empty() || offset < block.len() {
                return Err(damaged("length of squashfs metadata", out.len() as u64, length));
            }
            (at, offset) = (next, 0);
        }
    }

    /// A table that is stored as a list of offsets of its metadata blocks.
    fn table(&mut self, start: u64, count: u64, size: u64) -> Result<Vec<u8>, Problem> {
        if start == NONE || count == 0 {
            return Ok(Vec::new());
        }
        let length = count * size;
        let blocks = length.div_ceil(METADATA as u64);
        let places = bytes(&self.image, start, blocks * 8)?;
        let mut out = Vec::new();
        for place in places.chunks_exact(8) {
            let (block, _) = self.block(le64(place, 0))?;
            out.extend_from_slice(&block);
        }
        match usize::try_from(length).ok().filter(|length| *length <= out.len()) {
            Some(length) => out.truncate(length),
            None => return Err(damaged("length of a squashfs table", out.len() as u64, length)),
        }
        Ok(out)
    }

    fn walk(
        &mut self,
        reference: u64,
        path: &[u8],
        depth: usize,
        found: &mut Vec<(Item, Option<File>)>,
    ) -> Result<(), Problem> {
        if depth == 0 {
            return Err(damaged(
                "depth of squashfs directories",
                MAX_DEPTH as u64 + 1,
                format_args!("{MAX_DEPTH} at most"),
            ));
        }
        let (start, offset) = (self.inode_table + (reference >> 16), (reference & 0xffff) as usize);
        let (common, (mut at, mut inside)) = self.metadata(start, offset, 16)?;
        let mut take = |reader: &mut Self, length: usize| -> Result<Vec<u8>, Problem> {
            let (bytes, next) = reader.metadata(at, inside, length)?;
            (at, inside) = next;
            Ok(bytes)
        };
        let kind = le16(&common, 0);
        let id = |place: u16| self.ids.get(usize::from(place)).copied().unwrap_or(u32::MAX);
        let owner = (id(le16(&common, 4)), id(le16(&common, 6)));
        let mut facts =
            format!("mode {:o}, owner {}:{}, time {}", le16(&common, 2), owner.0, owner.1, le32(&common, 8));
        let mut file = None;
        let mut listing = None;
        let mut xattrs = u32::MAX;
        match kind {
            1 | 8 => {
                let place = if kind == 1 {
                    let body = take(self, 16)?;
                    (le32(&body, 0), u32::from(le16(&body, 8)), le16(&body, 10))
                } else {
                    let body = take(self, 24)?;
                    xattrs = le32(&body, 20);
                    (le32(&body, 8), le32(&body, 4), le16(&body, 18))
                };
                facts.push_str(", directory");
                listing = Some(place);
            }
            2 | 9 => {
                let (start, size, fragment) = if kind == 2 {
                    let body = take(self, 16)?;
                    (u64::from(le32(&body, 0)), u64::from(le32(&body, 12)), (le32(&body, 4), le32(&body, 8)))
                } else {
                    let body = take(self, 40)?;
                    xattrs = le32(&body, 36);
                    facts.push_str(&format!(", {} links", le32(&body, 24)));
                    (le64(&body, 0), le64(&body, 8), (le32(&body, 28), le32(&body, 32)))
                };
                if size > MAX_FILE_SIZE {
                    return Err(damaged("size of a file", size, format_args!("{MAX_FILE_SIZE} at most")));
                }
                let whole = match fragment.0 {
                    NO_FRAGMENT => size.div_ceil(self.block_size.into()),
                    _ => size / u64::from(self.block_size),
                };
                let sizes = take(self, whole as usize * 4)?;
                let blocks = sizes.chunks_exact(4).map(|size| le32(size, 0)).collect();
                facts.push_str(&format!(", file, {size} bytes"));
                file = Some(File { start, size, fragment, blocks });
            }
            3 | 10 => {
                let body = take(self, 8)?;
                let target = take(self, le32(&body, 4).min(65_536) as usize)?;
                facts.push_str(&format!(", symlink to {}", String::from_utf8_lossy(&target)));
                if kind == 10 {
                    xattrs = le32(&take(self, 4)?, 0);
                }
            }
            4 | 5 | 11 | 12 => {
                let body = take(self, 8)?;
                facts.push_str(&format!(", device {kind} {:#x}, {} links", le32(&body, 4), le32(&body, 0)));
                if kind > 7 {
                    xattrs = le32(&take(self, 4)?, 0);
                }
            }
            6 | 7 | 13 | 14 => facts.push_str(&format!(", fifo or socket {kind}")),
            other => return Err(damaged("squashfs inode type", other.into(), "1 to 14")),
        }
        facts.push_str(&self.attributes(xattrs)?);
        let shown = if path.is_empty() { b"/".to_vec() } else { path.to_vec() };
        found.push((Item { path: shown, facts, is_file: file.is_some() }, file));
        let Some((block, size, offset)) = listing else { return Ok(()) };
        if !self.listed.insert(reference) {
            return Err(damaged("squashfs directory", reference, "one with a single path"));
        }
        self.entries(block, size.saturating_sub(3) as usize, offset.into(), path, depth, found)
    }

    fn entries(
        &mut self,
        block: u32,
        size: usize,
        offset: usize,
        path: &[u8],
        depth: usize,
        found: &mut Vec<(Item, Option<File>)>,
    ) -> Result<(), Problem> {
        if size == 0 {
            return Ok(());
        }
        let (listing, _) = self.metadata(self.directory_table + u64::from(block), offset, size)?;
        let mut rest = listing.as_slice();
        while rest.len() >= 12 {
            let (count, inodes) = (le32(rest, 0), le32(rest, 4));
            rest = &rest[12..];
            for _ in 0..=count {
                let length = usize::from(le16(rest, 6)) + 1;
                let name = rest.get(8..8 + length);
                let name =
                    name.ok_or_else(|| damaged("length of a squashfs name", length as u64, "one within the listing"))?;
                let reference = u64::from(inodes) << 16 | u64::from(le16(rest, 0));
                self.walk(reference, &[path, b"/", name].concat(), depth - 1, found)?;
                rest = &rest[8 + length..];
            }
        }
        Ok(())
    }

    /// Extended attributes, as text.
    fn attributes(&mut self, place: u32) -> Result<String, Problem> {
        let Some((start, sets)) = &self.xattrs else { return Ok(String::new()) };
        let Some(set) = sets.get(place as usize) else { return Ok(String::new()) };
        let (start, reference, size) = (*start, le64(set, 0), le32(set, 12).min(1 << 20));
        let (bytes, _) = self.metadata(start + (reference >> 16), (reference & 0xffff) as usize, size as usize)?;
        Ok(format!(", attributes {}", hex::encode(bytes)))
    }

    fn file(&mut self, file: &File) -> Result<Vec<u8>, Problem> {
        let block_size = self.block_size as usize;
        let mut out = Vec::with_capacity(file.size as usize);
        let mut at = file.start;
        for size in &file.blocks {
            let most = block_size.min(file.size as usize - out.len());
            let stored = u64::from(size & (STORED - 1));
            if stored == 0 {
                // A sparse block: zeros.
                out.resize(out.len() + most, 0);
                continue;
            }
            let packed = bytes(&self.image, at, stored)?;
            at += stored;
            let block = if size & STORED == 0 { self.unpack(&packed, block_size)? } else { packed };
            if block.len() != most {
                return Err(damaged("length of a squashfs block", block.len() as u64, most));
            }
            out.extend_from_slice(&block);
        }
        let left = file.size as usize - out.len();
        if left > 0 {
            let (index, offset) = file.fragment;
            if self.last_fragment.as_ref().is_none_or(|(known, _)| *known != index) {
                let place = self.fragments.get(index as usize).copied();
                let (start, size) =
                    place.ok_or_else(|| damaged("squashfs fragment", index.into(), "one that exists"))?;
                let packed = bytes(&self.image, start, u64::from(size & (STORED - 1)))?;
                let block = if size & STORED == 0 { self.unpack(&packed, block_size)? } else { packed };
                self.last_fragment = Some((index, block));
            }
            let block = self.last_fragment.as_ref().map_or(&[][..], |(_, block)| block);
            let tail = block.get(offset as usize..).and_then(|rest| rest.get(..left));
            out.extend_from_slice(
                tail.ok_or_else(|| damaged("offset in a squashfs fragment", offset.into(), "one inside it"))?,
            );
        }
        Ok(out)
    }
}
