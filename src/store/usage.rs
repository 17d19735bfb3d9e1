//! How much is kept, and what goes when it is too much.

use super::{StoreError, blocks, failed};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    Packages,
    Indices,
    Blocks,
}

impl Room {
    pub const ALL: [Self; 3] = [Self::Packages, Self::Indices, Self::Blocks];

    /// Its folder in the cache's.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Packages => "packages",
            Self::Indices => "indices",
            Self::Blocks => blocks::FOLDER,
        }
    }
}

/// What is used, and goes, as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub room: Room,
    pub path: PathBuf,
    pub size: u64,
    pub used: SystemTime,
}

/// What pruning came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    pub removed: usize,
    pub freed: u64,
    pub left: u64,
}

/// All that is kept in the cache's folder, the least recently used first.
pub fn usage(cache: &Path) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    for room in Room::ALL {
        let folder = cache.join(room.folder());
        list(room, &folder, &mut entries).map_err(failed("listing", &folder))?;
    }
    entries.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    Ok(entries)
}

fn list(room: Room, folder: &Path, entries: &mut Vec<Entry>) -> io::Result<()> {
    let listing = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listing => listing?,
    };
    for entry in listing {
        let entry = entry?;
        // One that another build has just taken away.
        let Ok(stat) = entry.metadata() else { continue };
        if stat.is_dir() {
            list(room, &entry.path(), entries)?;
        } else if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            entries.push(Entry { room, path: entry.path(), size: stat.len(), used: stat.modified()? });
        }
    }
    Ok(())
}

/// Removes what was used least recently until no more than `most` bytes are
/// left. A build that runs goes on with what it has open.
pub fn prune(cache: &Path, most: u64) -> Result<Pruned, StoreError> {
    let entries = usage(cache)?;
    let mut pruned = Pruned { left: entries.iter().map(|entry| entry.size).sum(), ..Pruned::default() };
    for entry in entries {
        if pruned.left <= most {
            break;
        }
        match fs::remove_file(&entry.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("removing", &entry.path)(error));
            }
            _ => {}
        }
        pruned.removed += 1;
        pruned.freed += entry.size;
        pruned.left -= entry.size;
    }
    Ok(pruned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::Duration;

    #[test]
    fn what_was_used_last_stays() {
        let cache = tempfile::tempdir().unwrap();
        for (name, age) in [("packages/a", 30), ("blocks/b.pack", 20), ("indices/c/d", 10), ("blocks/.lock", 90)] {
            let path = cache.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, [0; 100]).unwrap();
            let time = SystemTime::now() - Duration::from_secs(age);
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
        assert_eq!(usage(cache.path()).unwrap().len(), 3);
        assert_eq!(prune(cache.path(), 300).unwrap(), Pruned { removed: 0, freed: 0, left: 300 });
        assert_eq!(prune(cache.path(), 250).unwrap(), Pruned { removed: 1, freed: 100, left: 200 });
        assert!(!cache.path().join("packages/a").exists());
        assert_eq!(prune(cache.path(), 0).unwrap(), Pruned { removed: 2, freed: 200, left: 0 });
        assert!(cache.path().join("blocks/.lock").exists());
        assert!(usage(Path::new("/nonexistent")).unwrap().is_empty());
    }
}
