//! FAT file systems, built in memory through the crate fatfs (Microsoft's FAT specification, 1.03).

use super::fat_repairs;
use crate::tree::{Kind, NodeId, Tree, TreePath};
use fatfs::{Date, DateTime, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use std::collections::HashSet;
use std::io::{self, Cursor, Write};

/// What the file system is besides its tree.
#[derive(Debug, Clone)]
pub struct FatOptions {
    /// Bytes. Above 32 MiB this is FAT32, below FAT16.
    pub size: u32,
    /// At most 11 characters of ASCII; written in capitals.
    pub label: String,
    /// The serial number in the boot sector; blkid shows it as the UUID.
    pub volume_id: u32,
}

/// Why a tree cannot be written as FAT.
#[derive(Debug, thiserror::Error)]
pub enum FatError {
    /// A node or a name that FAT has no place for.
    #[error("FAT cannot hold {path}, which is {found}; expected a file or a directory")]
    Unsupported {
        /// Its path.
        path: TreePath,
        /// What it is.
        found: &'static str,
    },
    /// A file of 4 GiB or more.
    #[error("FAT cannot hold {path} of {found} bytes; expected less than 4 GiB")]
    TooLong {
        /// The file.
        path: TreePath,
        /// Its bytes.
        found: u64,
    },
    /// A directory with more entries than fit.
    #[error(
        "FAT cannot hold {path}: its names take {found} directory entries, expected {expected} at most; \
         make several directories of it"
    )]
    TooMany {
        /// The directory.
        path: TreePath,
        /// Entries that its names take.
        found: u64,
        /// Entries that fit.
        expected: u64,
    },
    /// The label does not fit the boot sector.
    #[error("FAT volume label {label:?} is not 1 to 11 characters of ASCII")]
    Label {
        /// The label as it was given.
        label: String,
    },
    /// The given size is too small.
    #[error("a FAT file system of {size} bytes does not hold these files; expected {least} bytes at least")]
    TooSmall {
        /// The size that was given, in bytes.
        size: u32,
        /// The smallest size that holds the tree, in bytes.
        least: u64,
    },
    /// The writer refuses an entry.
    #[error("writing {path} to a FAT file system of {size} bytes")]
    Write {
        /// The entry.
        path: TreePath,
        /// Bytes of the file system.
        size: u32,
        /// The writer's error.
        source: io::Error,
    },
    /// The writer refuses the file system as a whole.
    #[error("making a FAT file system of {size} bytes")]
    Format {
        /// Its bytes.
        size: u32,
        /// The writer's error.
        source: io::Error,
    },
}

const MIB: u64 = 1 << 20;
/// Sizes are tried in steps of it.
const STEP: u64 = MIB;
/// Less leaves too few clusters for FAT16.
const SMALLEST: u64 = 8 * MIB;
const ENTRY: u64 = 32;
/// Entries of a directory, which has at most 2 MiB.
const MOST_ENTRIES: u64 = 1 << 16;
/// UTF-16 units in an entry of a long name.
const LONG_PART: usize = 13;
/// Entries of the root directory of FAT16, where there are no more.
const ROOT_ENTRIES: u64 = 512;
/// Boot sectors and what belongs to them; fatfs takes 8 sectors at most.
const RESERVED: u64 = 8 * 512;

/// The first moment that FAT can name, in every entry: the clock stays out.
#[derive(Debug)]
struct Fixed;

impl TimeProvider for Fixed {
    fn get_current_date(&self) -> Date {
        Date { year: 1980, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: self.get_current_date(), time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}

/// A file or a directory to write.
#[derive(Debug)]
struct Item {
    path: TreePath,
    id: NodeId,
    /// Content of a file, entries of a directory.
    bytes: u64,
}

/// A file system that holds a tree's directories and files and is not yet laid out. Modes, owners and times
/// have no place in it; links, and names that differ in case alone, are refused.
#[derive(Debug)]
pub struct Fat<'a> {
    tree: &'a Tree,
    /// Parents before children, the root first.
    items: Vec<Item>,
}

impl<'a> Fat<'a> {
    /// Finds all that FAT cannot hold.
    pub fn plan(tree: &'a Tree) -> Result<Self, FatError> {
        let mut names = HashSet::new();
        let mut items = Vec::new();
        for (path, id) in tree.walk() {
            let unsupported = |found| Err(FatError::Unsupported { path: path.clone(), found });
            if !names.insert(path.to_string().to_lowercase()) {
                return unsupported("another's name but for the case of letters");
            }
            if !path.is_root() && !path.name().is_some_and(is_valid) {
                return unsupported("of a name that the FAT writer cannot hold");
            }
            let bytes = match &tree.node(id).kind {
                Kind::Directory(_) => {
                    let found = entries(tree, id);
                    if found > MOST_ENTRIES {
                        return Err(FatError::TooMany { path, found, expected: MOST_ENTRIES });
                    }
                    found * ENTRY
                }
                Kind::File(content) if content.len() > u64::from(u32::MAX) => {
                    return Err(FatError::TooLong { path, found: content.len() });
                }
                Kind::File(content) => content.len(),
                Kind::Symlink(_) => return unsupported("a symbolic link"),
                Kind::CharacterDevice { .. } | Kind::BlockDevice { .. } => return unsupported("a device"),
                Kind::Fifo => return unsupported("a pipe"),
                Kind::Socket => return unsupported("a socket"),
            };
            items.push(Item { path, id, bytes });
        }
        Ok(Self { tree, items })
    }

    /// The least size in whole mebibytes, `smallest` or more, that holds the tree `copies` times.
    pub fn size(&self, smallest: u64, copies: u64) -> u64 {
        let mut size = smallest.max(SMALLEST).next_multiple_of(STEP);
        loop {
            let missing = (copies * self.needed(size)).saturating_sub(self.room(size));
            if missing == 0 {
                return size;
            }
            size += missing.next_multiple_of(STEP);
        }
    }

    /// Bytes that all clusters of the tree take in a file system of `size` bytes.
    fn needed(&self, size: u64) -> u64 {
        self.items.iter().map(|item| item.bytes.next_multiple_of(cluster_size(size))).sum()
    }

    /// Bytes of clusters that a file system of `size` bytes has at least: FAT32's entries take 4 bytes in each of 2 FATs.
    fn room(&self, size: u64) -> u64 {
        let tables = (size / cluster_size(size) + 2) * 2 * 4;
        let head = RESERVED + self.root_entries() * ENTRY + tables.next_multiple_of(2 * 512);
        // The last cluster may be cut off.
        size.saturating_sub(head + cluster_size(size))
    }

    /// Room for entries in the root directory of FAT16, in whole sectors.
    fn root_entries(&self) -> u64 {
        (self.items[0].bytes / ENTRY).max(ROOT_ENTRIES).next_multiple_of(512 / ENTRY)
    }

    /// The whole file system.
    pub fn write(&self, options: &FatOptions) -> Result<Vec<u8>, FatError> {
        let size = options.size;
        let least = self.size(SMALLEST, 1);
        if u64::from(size) < least {
            return Err(FatError::TooSmall { size, least });
        }
        let formatting = |source| FatError::Format { size, source };
        let mut image = vec![0; size as usize];
        let format = FormatVolumeOptions::new()
            .volume_id(options.volume_id)
            .volume_label(label(&options.label)?)
            .bytes_per_cluster(cluster_size(size.into()) as u32)
            // At most 65,536, of which fewer are used: the volume's label is an entry, too.
            .max_root_dir_entries(u16::try_from(self.root_entries()).unwrap_or(u16::MAX - 15));
        fatfs::format_volume(Cursor::new(image.as_mut_slice()), format).map_err(formatting)?;
        let file_system = FileSystem::new(Cursor::new(image.as_mut_slice()), FsOptions::new().time_provider(&Fixed))
            .map_err(formatting)?;
        for item in self.items.iter().skip(1) {
            let failed = |source| FatError::Write { path: item.path.clone(), size, source };
            let name = String::from_utf8_lossy(&item.path.to_bytes()[1..]).into_owned();
            let root = file_system.root_dir();
            match &self.tree.node(item.id).kind {
                Kind::File(content) => {
                    let mut file = root.create_file(&name).map_err(failed)?;
                    io::copy(&mut content.open().map_err(failed)?, &mut file).map_err(failed)?;
                    file.flush().map_err(failed)?;
                }
                // plan() refuses all others.
                _ => drop(root.create_dir(&name).map_err(failed)?),
            }
        }
        file_system.unmount().map_err(formatting)?;
        fat_repairs::repair(&mut image);
        Ok(image)
    }
}

/// Bytes of a cluster. Those of 512 bytes above 32 MiB are enough for FAT32, which the crate's own choice is not there.
fn cluster_size(size: u64) -> u64 {
    if size <= 16 * MIB {
        1024
    } else if size <= 32 * MIB {
        2048
    } else if size <= 260 * MIB {
        512
    } else {
        4096
    }
}

/// How many entries the directory `id` takes, those of long names and its own among them.
fn entries(tree: &Tree, id: NodeId) -> u64 {
    let Kind::Directory(entries) = &tree.node(id).kind else { return 0 };
    // The label in the root; elsewhere `.` and `..`, which fatfs gives long names.
    let own = if id == Tree::ROOT { 1 } else { 4 };
    let named = entries.keys().map(|name| {
        let units = String::from_utf8_lossy(name).encode_utf16().count();
        1 + units.div_ceil(LONG_PART) as u64
    });
    own + named.sum::<u64>()
}

/// Whether a long name may be `name` (the specification, "FAT Long Directory Entries"). fatfs takes 255 bytes and the
/// characters of the basic plane.
fn is_valid(name: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    let forbidden =
        |letter: char| !(' '..='\u{ffff}').contains(&letter) || letter == '\u{7f}' || "\"*/:<>?\\|".contains(letter);
    (1..=255).contains(&name.len()) && !name.ends_with(['.', ' ']) && !name.contains(forbidden)
}

fn label(text: &str) -> Result<[u8; 11], FatError> {
    if text.is_empty() || text.len() > 11 || !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Err(FatError::Label { label: text.to_owned() });
    }
    let mut label = [b' '; 11];
    label[..text.len()].copy_from_slice(text.to_ascii_uppercase().as_bytes());
    Ok(label)
}

#[cfg(test)]
mod tests;
