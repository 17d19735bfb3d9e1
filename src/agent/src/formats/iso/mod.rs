//! Finds a file in an ISO 9660 volume (ECMA-119, with Rock Ridge names) without
//! mounting it, so that the stick's other partitions stay free.

mod directory;
mod rock_ridge;
#[cfg(test)]
mod tests;

use appliance_shared::probe;
use appliance_shared::read_at::{ReadAt, array_at, le16, le32};
use directory::Record;
use std::io;

/// Logical sector; also the only block size that writers use.
const SECTOR: u64 = 2048;
const FIRST_DESCRIPTOR: u64 = 16 * SECTOR;
const MAX_DESCRIPTORS: u64 = 16;
/// Levels of a path; ECMA-119 allows 8, Rock Ridge more.
const MAX_DEPTH: usize = 32;
/// A directory this large (some 200,000 entries) is damage.
const MAX_DIRECTORY: u64 = 16 * 1024 * 1024;

/// A file's bytes on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileRange {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

/// Why a volume or a file in it cannot be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum IsoError {
    #[error("reading the ISO 9660 volume: {0}")]
    Read(io::Error),
    #[error("no ISO 9660 volume: no primary descriptor in the {MAX_DESCRIPTORS} sectors from 16 on")]
    NoVolume,
    #[error("the ISO 9660 volume's {what} is {found}, expected {expected}")]
    Damaged { what: &'static str, found: u64, expected: String },
    #[error("{path} is not on the ISO 9660 volume: {missing} is missing")]
    NotFound { path: String, missing: String },
    #[error("{path} on the ISO 9660 volume is {found}, expected {expected}")]
    WrongKind { path: String, found: &'static str, expected: &'static str },
    #[error("{path} on the ISO 9660 volume is in pieces: one ends at byte {end}, the next begins at {next}")]
    NotContiguous { path: String, end: u64, next: u64 },
}

impl From<io::Error> for IsoError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

fn damaged(what: &'static str, found: u64, expected: impl ToString) -> IsoError {
    IsoError::Damaged { what, found, expected: expected.to_string() }
}

/// An ISO 9660 volume, with Rock Ridge names where it has them.
pub struct Volume<'a> {
    device: &'a dyn ReadAt,
    /// From the volume's creation time, as udev forms it.
    pub uuid: Option<String>,
    /// The volume identifier.
    pub label: Option<String>,
    root: Extent,
    /// Bytes at the start of each system use field that are not SUSP's (SUSP 1.12, 5.3); `None` without Rock Ridge.
    susp_skip: Option<usize>,
}

impl std::fmt::Debug for Volume<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Volume").field("uuid", &self.uuid).field("label", &self.label).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    offset: u64,
    length: u64,
}

impl<'a> Volume<'a> {
    /// Reads the volume descriptors.
    pub fn open(device: &'a dyn ReadAt) -> Result<Self, IsoError> {
        let mut primary = None;
        for number in 0..MAX_DESCRIPTORS {
            let Some(sector) = array_at::<2048>(device, FIRST_DESCRIPTOR + number * SECTOR)? else { break };
            match (&sector[1..6], sector[0]) {
                (b"CD001", 1) => primary = Some(sector),
                (b"CD001", 255) => break,
                (b"CD001", _) => continue,
                _ => break,
            }
            break;
        }
        let sector = primary.ok_or(IsoError::NoVolume)?;
        let block = u64::from(le16(&sector, 128));
        if block != SECTOR {
            return Err(damaged("logical block size", block, SECTOR));
        }
        // 8.4.18: the root's directory record.
        let root = Extent { offset: u64::from(le32(&sector, 158)) * SECTOR, length: u64::from(le32(&sector, 166)) };
        let mut volume = Self {
            device,
            uuid: probe::iso9660_uuid(&sector),
            label: probe::label(&sector[40..72]),
            root,
            susp_skip: None,
        };
        let bytes = volume.read_directory(root)?;
        let first = directory::records(&bytes).next().transpose()?;
        volume.susp_skip = first.and_then(|dot| rock_ridge::skip(dot.system_use));
        Ok(volume)
    }

    /// Where the file at the absolute `path` lies. Plain names match without
    /// regard to case and `;1`; Rock Ridge names match exactly.
    pub fn find(&self, path: &str) -> Result<FileRange, IsoError> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let wrong = |found, expected| IsoError::WrongKind { path: path.to_owned(), found, expected };
        if parts.is_empty() || parts.len() > MAX_DEPTH {
            return Err(wrong("empty or too deep", "a path of 1 to 32 names"));
        }
        let mut folder = self.root;
        for (level, part) in parts.iter().enumerate() {
            let last = level + 1 == parts.len();
            let pieces = self.look_up(folder, part, path)?;
            let Some(first) = pieces.first() else {
                return Err(IsoError::NotFound { path: path.to_owned(), missing: parts[..=level].join("/") });
            };
            match (last, first.directory) {
                (false, true) => folder = first.extent,
                (false, false) => return Err(wrong("below a file", "a file in a directory")),
                (true, true) => return Err(wrong("a directory", "a file")),
                (true, false) => return self.range(path, &pieces),
            }
        }
        Err(wrong("empty", "a file"))
    }

    /// All pieces of the entry `name`: a file of 4 GiB and more has several records in a row (ECMA-119 9.1.6, bit 7).
    fn look_up(&self, folder: Extent, name: &str, path: &str) -> Result<Vec<Piece>, IsoError> {
        let bytes = self.read_directory(folder)?;
        let mut pieces: Vec<Piece> = Vec::new();
        let mut more = false;
        for record in directory::records(&bytes) {
            let record = record?;
            if more || self.is_named(&record, name)? {
                if record.interleaved {
                    return Err(IsoError::WrongKind {
                        path: path.into(),
                        found: "interleaved",
                        expected: "in one run",
                    });
                }
                more = record.more && !record.directory;
                let extent = match self.relocated(&record)? {
                    Some(offset) => self.directory_at(offset)?,
                    None => record.extent,
                };
                let directory = record.directory || extent != record.extent;
                pieces.push(Piece { extent, directory });
                if !more {
                    break;
                }
            }
        }
        if more {
            return Err(damaged("last record of a directory", 1, "0 in the bit that promises another piece"));
        }
        Ok(pieces)
    }

    fn is_named(&self, record: &Record, name: &str) -> Result<bool, IsoError> {
        if record.name == [0] || record.name == [1] {
            return Ok(false);
        }
        if let Some(skip) = self.susp_skip
            && let Some(long) = rock_ridge::name(self.device, record.system_use, skip)?
        {
            return Ok(long == name.as_bytes());
        }
        Ok(record.plain_name().eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Rock Ridge keeps deep directories elsewhere and leaves a file-like record with the true place.
    fn relocated(&self, record: &Record) -> Result<Option<u64>, IsoError> {
        match self.susp_skip {
            Some(skip) if !record.directory => {
                Ok(rock_ridge::child(self.device, record.system_use, skip)?.map(|block| u64::from(block) * SECTOR))
            }
            _ => Ok(None),
        }
    }

    /// A directory's own first record says how long it is.
    fn directory_at(&self, offset: u64) -> Result<Extent, IsoError> {
        let bytes = array_at::<2048>(self.device, offset)?;
        let bytes = bytes.ok_or_else(|| damaged("place of a relocated directory", offset, "inside the device"))?;
        match directory::records(&bytes).next().transpose()? {
            Some(dot) if dot.name == [0] => Ok(Extent { offset, length: dot.extent.length }),
            _ => Err(damaged("relocated directory's first name", u64::from(bytes[33]), "0, its own record")),
        }
    }

    fn read_directory(&self, extent: Extent) -> Result<Vec<u8>, IsoError> {
        if extent.length == 0 || extent.length > MAX_DIRECTORY {
            return Err(damaged("size of a directory", extent.length, format_args!("1 to {MAX_DIRECTORY}")));
        }
        let size = self.device.size()?;
        if extent.offset.saturating_add(extent.length) > size {
            return Err(damaged("end of a directory", extent.offset + extent.length, format_args!("{size} at most")));
        }
        let mut bytes = vec![0; extent.length as usize];
        self.device.read_exact_at(&mut bytes, extent.offset)?;
        Ok(bytes)
    }

    fn range(&self, path: &str, pieces: &[Piece]) -> Result<FileRange, IsoError> {
        let Some((first, rest)) = pieces.split_first() else {
            return Err(IsoError::NotFound { path: path.to_owned(), missing: path.to_owned() });
        };
        let mut range = FileRange { offset: first.extent.offset, length: first.extent.length };
        for piece in rest {
            let end = range.offset + range.length;
            if piece.extent.offset != end {
                return Err(IsoError::NotContiguous { path: path.to_owned(), end, next: piece.extent.offset });
            }
            range.length += piece.extent.length;
        }
        let size = self.device.size()?;
        let end = range.offset + range.length;
        if end > size {
            return Err(damaged("end of a file", end, format_args!("{size}, the device's size, at most")));
        }
        Ok(range)
    }
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    extent: Extent,
    directory: bool,
}
