//! The list of what is in the config's `local/etc`, bounded; follows no link.

use appliance_contract::boot_record::Refused;
use appliance_contract::local_etc::{Bounds, Excess, Meter};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Its bytes.
        size: u64,
    },
    /// A directory.
    Folder,
    /// A symlink.
    Link {
        /// Where it leads.
        target: String,
    },
    /// What cannot go in, in words.
    Other(&'static str),
}

/// An entry of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to `local/etc`.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Its mode bits.
    pub mode: u32,
    /// Names of extended attributes.
    pub attributes: Vec<String>,
}

/// The list of all entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Source {
    /// Sorted by path, so that a folder comes before what is in it.
    pub entries: Vec<Entry>,
    /// Names that are not UTF-8, and why the whole folder is missing if it is.
    pub dropped: Vec<Refused>,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant says in its message what it means")]
pub enum SourceError {
    /// An entry cannot be read.
    #[error("reading {path} of the config: {error}")]
    Read { path: PathBuf, error: io::Error },
    /// All files together are too large.
    #[error(
        "{path} of the config holds {found} bytes, expected {bound} at most: /etc lives in memory; keep data on a \
         partition that /etc/fstab mounts"
    )]
    TooLarge { path: PathBuf, found: u64, bound: u64 },
    /// There are too many entries.
    #[error("{path} of the config holds more than {bound} files and folders, expected {bound} at most")]
    TooMany { path: PathBuf, bound: usize },
    /// A directory is too deep.
    #[error("{path} of the config is nested deeper than {bound} folders")]
    TooDeep { path: PathBuf, bound: usize },
}

/// Lists `folder`. Where there is none, the list is empty and says so.
pub fn read(folder: &Path, bounds: Bounds, attributes: &dyn Fn(&Path) -> Vec<String>) -> Result<Source, SourceError> {
    let mut walk = Walk { folder, bounds, attributes, source: Source::default(), meter: Meter::new(bounds) };
    match fs::symlink_metadata(folder) {
        Ok(found) if found.is_dir() => walk.folder(folder, "", 0)?,
        Ok(_) => walk.drop("", "it is not a folder, so nothing of it is laid over the image's /etc"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            walk.drop("", "it is missing, so /etc is the image's own");
        }
        Err(error) => return Err(SourceError::Read { path: folder.to_owned(), error }),
    }
    let Walk { mut source, meter, .. } = walk;
    meter.finish().map_err(|excess| beyond(excess, folder, bounds))?;
    source.entries.sort_by(|a, b| a.path.cmp(&b.path));
    source.dropped.sort_by(|a, b| a.device.cmp(&b.device));
    Ok(source)
}

struct Walk<'a> {
    folder: &'a Path,
    bounds: Bounds,
    attributes: &'a dyn Fn(&Path) -> Vec<String>,
    source: Source,
    meter: Meter,
}

fn beyond(excess: Excess, folder: &Path, bounds: Bounds) -> SourceError {
    let path = folder.to_owned();
    match excess {
        Excess::Bytes(found) => SourceError::TooLarge { path, found, bound: bounds.bytes },
        Excess::Entries => SourceError::TooMany { path, bound: bounds.entries },
        Excess::Depth => SourceError::TooDeep { path, bound: bounds.depth },
    }
}

impl Walk<'_> {
    fn drop(&mut self, path: &str, reason: &str) {
        let device = format!("local/etc{}{path}", if path.is_empty() { "" } else { "/" });
        self.source.dropped.push(Refused { device, reason: reason.to_owned() });
    }

    fn folder(&mut self, folder: &Path, relative: &str, depth: usize) -> Result<(), SourceError> {
        let failed = |error| SourceError::Read { path: folder.to_owned(), error };
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                self.drop(&format!("{relative}/{}", entry.file_name().to_string_lossy()), "its name is not UTF-8");
                continue;
            };
            let path = if relative.is_empty() { name } else { format!("{relative}/{name}") };
            self.entry(&entry.path(), path, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, place: &Path, path: String, depth: usize) -> Result<(), SourceError> {
        let failed = |error| SourceError::Read { path: place.to_owned(), error };
        let found = fs::symlink_metadata(place).map_err(failed)?;
        let kind = match found.file_type() {
            kind if kind.is_dir() => Kind::Folder,
            kind if kind.is_file() => Kind::File { size: found.len() },
            kind if kind.is_symlink() => {
                let target = fs::read_link(place).map_err(failed)?;
                match target.to_str() {
                    Some(target) => Kind::Link { target: target.to_owned() },
                    None => Kind::Other("a link whose target is not UTF-8"),
                }
            }
            // overlayfs: "whiteouts and opaque directories".
            kind if kind.is_char_device() && found.rdev() == 0 => Kind::Other("a whiteout of an overlay"),
            kind if kind.is_char_device() => Kind::Other("a character device"),
            kind if kind.is_block_device() => Kind::Other("a block device"),
            kind if kind.is_fifo() => Kind::Other("a named pipe"),
            kind if kind.is_socket() => Kind::Other("a socket"),
            _ => Kind::Other("of an unknown kind"),
        };
        let counted = match kind {
            Kind::Folder => self.meter.directory(depth + 1),
            Kind::File { size } => self.meter.file(size),
            Kind::Link { .. } | Kind::Other(_) => self.meter.file(0),
        };
        counted.map_err(|excess| {
            let folder = if excess == Excess::Depth { place } else { self.folder };
            beyond(excess, folder, self.bounds)
        })?;
        let mut attributes = (self.attributes)(place);
        attributes.sort();
        let descend = kind == Kind::Folder;
        self.source.entries.push(Entry { path: path.clone(), kind, mode: found.mode() & 0o7777, attributes });
        if descend { self.folder(place, &path, depth + 1) } else { Ok(()) }
    }
}
