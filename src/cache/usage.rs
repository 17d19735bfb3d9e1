//! The size of the cache, and pruning.

use super::{Bucket, Cache, CacheError, failed};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A unit of the cache, which is used and removed as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The kind of content.
    pub bucket: Bucket,
    /// The file or directory of the entry.
    pub path: PathBuf,
    /// The length of the file, or the sum of the lengths of the files below the directory, in bytes.
    pub size: u64,
    /// When it was last used.
    pub used: SystemTime,
}

/// The lock file: shared by all users of the cache, exclusive for pruning.
const IN_USE: &str = "in-use";

/// The result of pruning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The number of entries removed.
    pub removed: usize,
    /// The sum of their sizes, in bytes.
    pub freed: u64,
    /// The size of the remaining entries, in bytes.
    pub left: u64,
    /// Another process uses the cache, so only blocks and unpacked packages were removed.
    pub in_use: bool,
}

impl Cache {
    /// Takes the shared lock. While the returned file lives, [`Cache::prune`] removes nothing that this build may open.
    /// `None` if the cache is not writable; only its owner can prune it then.
    pub fn lock_shared(&self) -> Option<File> {
        let lock = self.lock_file()?;
        lock.lock_shared().ok()?;
        Some(lock)
    }

    fn lock_file(&self) -> Option<File> {
        fs::create_dir_all(&self.directory).ok()?;
        let path = self.directory.join(IN_USE);
        File::open(&path).or_else(|_| File::create(&path)).ok()
    }

    /// All entries of the cache, the least recently used first.
    pub fn usage(&self) -> Result<Vec<Entry>, CacheError> {
        let mut entries = Vec::new();
        for bucket in Bucket::ALL {
            let folder = self.bucket(bucket);
            let listed = match bucket {
                Bucket::Trees => list_trees(&folder, &mut entries),
                _ => list(bucket, &folder, &mut entries),
            };
            listed.map_err(failed("listing", &folder))?;
        }
        entries.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
        Ok(entries)
    }

    /// Removes the least recently used entries until at most `most` bytes are left. While a build runs, only blocks and
    /// unpacked packages are removed: the build has those that it needs open, or creates them again.
    pub fn prune(&self, most: u64) -> Result<Pruned, CacheError> {
        let lock = self.lock_file().filter(|lock| lock.try_lock().is_ok());
        let in_use = lock.is_none();
        let entries = self.usage()?;
        let mut pruned = Pruned { left: entries.iter().map(|entry| entry.size).sum(), in_use, ..Pruned::default() };
        for entry in entries {
            if pruned.left <= most {
                break;
            }
            if in_use && !matches!(entry.bucket, Bucket::Blocks | Bucket::Unpacked) {
                continue;
            }
            match remove(&entry) {
                Ok(false) => continue,
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
}

fn list(bucket: Bucket, folder: &Path, entries: &mut Vec<Entry>) -> io::Result<()> {
    let listing = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listing => listing?,
    };
    for entry in listing {
        let entry = entry?;
        // Another build may have removed it just now.
        let Ok(stat) = entry.metadata() else { continue };
        if stat.is_dir() {
            list(bucket, &entry.path(), entries)?;
        } else if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            entries.push(Entry { bucket, path: entry.path(), size: stat.len(), used: stat.modified()? });
        }
    }
    Ok(())
}

/// The lock file of a tree, held while it is used or created.
pub const TREE_LOCK: &str = "lock";

fn list_trees(folder: &Path, entries: &mut Vec<Entry>) -> io::Result<()> {
    let listing = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listing => listing?,
    };
    for entry in listing {
        let path = entry?.path();
        let Ok(stat) = fs::metadata(path.join(TREE_LOCK)).or_else(|_| fs::metadata(&path)) else { continue };
        entries.push(Entry { bucket: Bucket::Trees, size: size_below(&path), used: stat.modified()?, path });
    }
    Ok(())
}

fn size_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(stat) if stat.is_dir() => size_below(&entry.path()),
        Ok(stat) => stat.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// Removes an entry; false if a build needs it.
fn remove(entry: &Entry) -> io::Result<bool> {
    if entry.bucket != Bucket::Trees {
        return fs::remove_file(&entry.path).map(|()| true);
    }
    let lock = File::open(entry.path.join(TREE_LOCK));
    if let Ok(lock) = &lock
        && lock.try_lock().is_err()
    {
        return Ok(false);
    }
    // Renamed first, so that no process finds a half-removed tree.
    let aside = entry.path.with_extension("pruned");
    fs::rename(&entry.path, &aside)?;
    fs::remove_dir_all(&aside).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(Cache::new(cache.path()).usage().unwrap().len(), 3);
        assert_eq!(
            Cache::new(cache.path()).prune(300).unwrap(),
            Pruned { removed: 0, freed: 0, left: 300, in_use: false }
        );
        assert_eq!(
            Cache::new(cache.path()).prune(250).unwrap(),
            Pruned { removed: 1, freed: 100, left: 200, in_use: false }
        );
        assert!(!cache.path().join("packages/a").exists());
        assert_eq!(
            Cache::new(cache.path()).prune(0).unwrap(),
            Pruned { removed: 2, freed: 200, left: 0, in_use: false }
        );
        assert!(cache.path().join("blocks/.lock").exists());
        assert!(Cache::new("/nonexistent").usage().unwrap().is_empty());
    }

    #[test]
    fn trees_go_whole_unless_they_are_used() {
        let cache = tempfile::tempdir().unwrap();
        let tree = |name: &str| {
            let path = cache.path().join("trees").join(name);
            fs::create_dir_all(path.join("root/deep")).unwrap();
            fs::write(path.join("root/deep/file"), [0; 100]).unwrap();
            fs::write(path.join(TREE_LOCK), "").unwrap();
            path
        };
        let (used, free) = (tree("used"), tree("free"));
        let lock = File::open(used.join(TREE_LOCK)).unwrap();
        lock.lock_shared().unwrap();
        assert_eq!(
            Cache::new(cache.path()).prune(0).unwrap(),
            Pruned { removed: 1, freed: 100, left: 100, in_use: false }
        );
        assert!(used.join("root/deep/file").exists() && !free.exists());
        drop(lock);
        assert_eq!(Cache::new(cache.path()).prune(0).unwrap().left, 0);
    }

    #[test]
    fn while_a_build_runs_what_it_needs_stays() {
        let cache = tempfile::tempdir().unwrap();
        for room in ["packages", "indices", "blocks", "unpacked", "trees/a"] {
            fs::create_dir_all(cache.path().join(room)).unwrap();
            fs::write(cache.path().join(room).join("file"), [0; 10]).unwrap();
        }
        let (one, other) = (Cache::new(cache.path()).lock_shared(), Cache::new(cache.path()).lock_shared());
        assert!(one.is_some() && other.is_some());
        drop(one);
        assert_eq!(
            Cache::new(cache.path()).prune(0).unwrap(),
            Pruned { removed: 2, freed: 20, left: 30, in_use: true }
        );
        assert!(!cache.path().join("blocks/file").exists() && !cache.path().join("unpacked/file").exists());
        drop(other);
        assert_eq!(
            Cache::new(cache.path()).prune(0).unwrap(),
            Pruned { removed: 3, freed: 30, left: 0, in_use: false }
        );
    }
}
