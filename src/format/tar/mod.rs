//! Safe reading of tar archives: ustar, PAX and GNU (POSIX.1-2024 pax, GNU tar's
//! "Basic Tar Format"), for packages and for tar sets.
//!
//! The crate tar decodes header fields. The walk is our own, as long names and PAX
//! records must be bounded, a PAX value may hold newlines (file capabilities do), and
//! an archive without its end must not pass for a whole one.

mod content;
mod entry;
mod error;
mod load;
mod pax;
mod resolve;

pub use entry::{Entry, EntryKind};
pub use error::{Problem, TarError};
pub use load::{LoadError, load_into};
pub use resolve::{ResolveError, resolve_in_tree};

use crate::tree::{Metadata, TreePath};
use content::{Blocks, Content, Extent};
use error::TarError as Error;
use pax::Records;
use std::collections::{HashMap, HashSet};
use std::io::Read;
use tar::{EntryType, GnuExtSparseHeader, Header};

/// More than these is a bomb or a mistake.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many entries it may have.
    pub entries: u64,
    /// Bytes of one file, and of all.
    pub file: u64,
    /// See `file`.
    pub total: u64,
    /// Bytes of a long name or of the PAX records of one entry.
    pub extension: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 4_000_000, file: 64 << 30, total: 256 << 30, extension: 1 << 20 }
    }
}

const BLOCK: u64 = 512;

/// Gives each entry of an archive to `visit`, in order, and reads to the end of
/// `reader`, so that a decompressor's check sums are checked too.
///
/// Paths are safe as names: none is absolute or holds `..`; no entry lies below
/// a symlink of the same archive; a hard link's target came before it.
pub fn entries<R: Read, E: From<TarError>>(
    reader: R,
    limits: Limits,
    mut visit: impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut walk =
        Walk { blocks: Blocks::new(reader), limits, count: 0, total: 0, links: HashMap::new(), files: HashSet::new() };
    while let Some((member, extents)) = walk.next()? {
        let Member { path, metadata, header, kind } = member;
        let mut content = Content::new(&mut walk.blocks, extents);
        let length = content.length();
        let kind = match kind {
            Parsed::File => EntryKind::File { length, content: &mut content },
            Parsed::Directory => EntryKind::Directory,
            Parsed::HardLink(target) => EntryKind::HardLink(target),
            Parsed::Symlink(target) => EntryKind::Symlink(target),
            Parsed::Device => {
                let (major, minor) = device(&header, &path)?;
                match header.entry_type() {
                    EntryType::Char => EntryKind::CharacterDevice { major, minor },
                    _ => EntryKind::BlockDevice { major, minor },
                }
            }
            Parsed::Fifo => EntryKind::Fifo,
        };
        let shown = path.clone();
        visit(Entry { path, metadata, kind })?;
        content.finish().map_err(|source| Error::Read { at: Some(shown), source })?;
    }
    walk.blocks.expect_end()?;
    Ok(())
}

fn device(header: &Header, path: &TreePath) -> Result<(u32, u32), Error> {
    let number = |part: std::io::Result<Option<u32>>| part.ok().flatten();
    number(header.device_major())
        .zip(number(header.device_minor()))
        .ok_or_else(|| Error::entry(path, Problem::Field { field: "device number" }))
}

/// What the entry is, before its content is opened.
enum Parsed {
    Directory,
    File,
    HardLink(TreePath),
    Symlink(Vec<u8>),
    Device,
    Fifo,
}

struct Member {
    path: TreePath,
    metadata: Metadata,
    header: Header,
    kind: Parsed,
}

struct Walk<R> {
    blocks: Blocks<R>,
    limits: Limits,
    count: u64,
    total: u64,
    /// The archive's symlinks, to their targets.
    links: HashMap<TreePath, Vec<u8>>,
    /// What a hard link may name.
    files: HashSet<TreePath>,
}

impl<R: Read> Walk<R> {
    /// The next entry with the places of its content; `None` at the end's zero blocks.
    fn next(&mut self) -> Result<Option<(Member, Vec<Extent>)>, Error> {
        let mut records = Records::default();
        loop {
            let Some(header) = self.blocks.header()? else {
                return if records.is_empty() {
                    Ok(None)
                } else {
                    Err(self.blocks.damaged("an entry after its extension"))
                };
            };
            self.count += 1;
            if self.count > self.limits.entries {
                return Err(Error::TooMany { limit: self.limits.entries });
            }
            match header.entry_type() {
                EntryType::GNULongName => records.path = Some(self.text(&header)?),
                EntryType::GNULongLink => records.link = Some(self.text(&header)?),
                EntryType::XHeader => {
                    let bytes = self.extension(&header)?;
                    records.read(&bytes).map_err(|what| self.blocks.damaged(what))?;
                }
                EntryType::XGlobalHeader => {
                    // Says something of the archive (git writes a comment), and may not of its entries.
                    let mut global = Records::default();
                    let bytes = self.extension(&header)?;
                    global.read(&bytes).map_err(|what| self.blocks.damaged(what))?;
                    if !global.is_empty() {
                        return Err(self.blocks.damaged("global PAX records that are comments only"));
                    }
                }
                _ => return self.member(header, records).map(Some),
            }
        }
    }

    fn member(&mut self, header: Header, records: Records) -> Result<(Member, Vec<Extent>), Error> {
        let raw = records.path.clone().unwrap_or_else(|| header.path_bytes().into_owned());
        let path = relative(&raw).map_err(|problem| Error::Entry { path: shown(&raw), problem })?;
        let wrong = |problem| Error::entry(&path, problem);
        if let Some(key) = &records.unsupported {
            return Err(wrong(Problem::Record { key: key.clone() }));
        }
        self.check_parents(&path)?;
        let link = || records.link.clone().or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
        let kind = match header.entry_type() {
            EntryType::Directory => Parsed::Directory,
            // Before ustar, a slash at the end made a directory.
            EntryType::Regular if raw.ends_with(b"/") => Parsed::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Parsed::File,
            EntryType::Symlink => {
                let target = link().filter(|target| !target.is_empty() && !target.contains(&0));
                Parsed::Symlink(target.ok_or_else(|| wrong(Problem::Target))?)
            }
            EntryType::Link => {
                let target = link().unwrap_or_default();
                let parsed = relative(&target).map_err(|_| wrong(Problem::HardLink { target: shown(&target) }))?;
                if !self.files.contains(&parsed) {
                    return Err(wrong(Problem::HardLink { target: shown(&target) }));
                }
                Parsed::HardLink(parsed)
            }
            EntryType::Char | EntryType::Block => Parsed::Device,
            EntryType::Fifo => Parsed::Fifo,
            other => return Err(wrong(Problem::Type { found: char::from(other.as_byte()) })),
        };
        if path.is_root() && !matches!(kind, Parsed::Directory) {
            return Err(wrong(Problem::Root));
        }
        let size = match records.size {
            Some(size) => size,
            None => header.entry_size().map_err(|_| wrong(Problem::Field { field: "size" }))?,
        };
        if size > 0 && !matches!(kind, Parsed::File) {
            return Err(wrong(Problem::Content { size }));
        }
        let extents = self.extents(&header, size, &path)?;
        self.links.remove(&path);
        self.files.remove(&path);
        match &kind {
            Parsed::Directory => {}
            Parsed::Symlink(target) => {
                self.links.insert(path.clone(), target.clone());
                self.files.insert(path.clone());
            }
            Parsed::HardLink(target) => {
                // A hard link of a symlink is one.
                if let Some(leads_to) = self.links.get(target).cloned() {
                    self.links.insert(path.clone(), leads_to);
                }
                self.files.insert(path.clone());
            }
            _ => {
                self.files.insert(path.clone());
            }
        }
        let metadata = metadata(&header, records).map_err(wrong)?;
        Ok((Member { path, metadata, header, kind }, extents))
    }

    /// Refuses what would be written through a symlink of the same archive:
    /// an archive of a real tree has no such path, and one made to break out has.
    fn check_parents(&self, path: &TreePath) -> Result<(), Error> {
        if self.links.is_empty() {
            return Ok(());
        }
        let mut parent = path.parent();
        while let Some(link) = parent {
            if let Some(target) = self.links.get(&link) {
                let (link, target) = (link.to_string(), shown(target));
                return Err(Error::entry(path, Problem::ThroughSymlink { link, target }));
            }
            parent = link.parent();
        }
        Ok(())
    }

    /// Where the content lies within the file: one piece, or as a GNU sparse map has it.
    fn extents(&mut self, header: &Header, size: u64, path: &TreePath) -> Result<Vec<Extent>, Error> {
        let wrong = |field| Error::entry(path, Problem::Field { field });
        let mut extents = vec![];
        let mut length = size;
        if header.entry_type() == EntryType::GNUSparse {
            let gnu = header.as_gnu().ok_or_else(|| wrong("sparse map"))?;
            length = gnu.real_size().map_err(|_| wrong("sparse size"))?;
            let mut pieces: Vec<_> =
                gnu.sparse.iter().map(|piece| (piece.offset(), piece.length(), piece.is_empty())).collect();
            let mut extended = gnu.is_extended();
            loop {
                for (offset, length, empty) in pieces.drain(..) {
                    if empty {
                        continue;
                    }
                    let (Ok(offset), Ok(length)) = (offset, length) else { return Err(wrong("sparse map")) };
                    extents.push(Extent { offset, length });
                }
                // Each block adds 21 pieces; a file's map is no larger than a name may be.
                if !extended || extents.len() as u64 > self.limits.extension {
                    break;
                }
                let mut block = GnuExtSparseHeader::new();
                self.blocks.read_exact(block.as_mut_bytes())?;
                pieces =
                    block.sparse().iter().map(|piece| (piece.offset(), piece.length(), piece.is_empty())).collect();
                extended = block.is_extended();
            }
            let mut end = 0u64;
            for extent in &extents {
                if extent.offset < end || extent.offset.checked_add(extent.length).is_none_or(|next| next > length) {
                    return Err(wrong("sparse map"));
                }
                end = extent.offset + extent.length;
            }
            // Pieces but the last end on a block's border, or the data would not follow each other.
            let whole = extents.split_last().is_none_or(|(_, rest)| rest.iter().all(|piece| piece.length % BLOCK == 0));
            if extended || !whole || extents.iter().map(|extent| extent.length).sum::<u64>() != size {
                return Err(wrong("sparse map"));
            }
            extents.push(Extent { offset: length, length: 0 });
        } else {
            extents.push(Extent { offset: 0, length });
        }
        self.total = self.total.saturating_add(length);
        for (found, limit) in [(length, self.limits.file), (self.total, self.limits.total)] {
            if found > limit {
                return Err(Error::entry(path, Problem::TooLarge { found, limit }));
            }
        }
        Ok(extents)
    }

    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, Error> {
        let size = header.entry_size().map_err(|_| self.blocks.damaged("the size of an extension"))?;
        if size > self.limits.extension {
            return Err(Error::Extension { found: size, limit: self.limits.extension, offset: self.blocks.position() });
        }
        let mut bytes = vec![0; size.next_multiple_of(BLOCK) as usize];
        self.blocks.read_exact(&mut bytes)?;
        bytes.truncate(size as usize);
        Ok(bytes)
    }

    /// A GNU long name: up to its NUL.
    fn text(&mut self, header: &Header) -> Result<Vec<u8>, Error> {
        let mut bytes = self.extension(header)?;
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        Ok(bytes)
    }
}

/// Reads `./a/b` or `a/b`; refuses `/a`, `..`, NUL bytes and names that no file system holds.
fn relative(path: &[u8]) -> Result<TreePath, Problem> {
    if path.first() == Some(&b'/') {
        return Err(Problem::Absolute);
    }
    if path.is_empty() {
        return Err(Problem::NoName);
    }
    TreePath::parse(path).map_err(Problem::Path)
}

fn metadata(header: &Header, records: Records) -> Result<Metadata, Problem> {
    let id = |record: Option<u64>, field: std::io::Result<u64>, name| {
        let wrong = Problem::Field { field: name };
        match record.map_or(field, Ok) {
            Ok(id) => u32::try_from(id).map_err(|_| wrong),
            Err(_) => Err(wrong),
        }
    };
    // The mask makes it fit.
    let mode = (header.mode().map_err(|_| Problem::Field { field: "mode" })? & 0o7777) as u16;
    let mtime = match records.mtime {
        Some(mtime) => mtime,
        // GNU tar writes times before 1970 as a negative base-256 number.
        None => header.mtime().map_err(|_| Problem::Field { field: "mtime" })? as i64,
    };
    let uid = id(records.uid, header.uid(), "uid")?;
    let gid = id(records.gid, header.gid(), "gid")?;
    Ok(Metadata { mode, uid, gid, mtime, xattrs: records.xattrs })
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests;
