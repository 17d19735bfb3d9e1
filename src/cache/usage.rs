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
        } else if is_entry(bucket, &entry.file_name().to_string_lossy()) {
            entries.push(Entry { bucket, path: entry.path(), size: stat.len(), used: stat.modified()? });
        }
    }
    Ok(())
}

/// Whether a file or tree of this name in a bucket is the cache's own. Pruning leaves all others: the directory may be
/// somebody's that is no cache.
fn is_entry(bucket: Bucket, name: &str) -> bool {
    let is_hash = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let whole = name.strip_suffix(".part").unwrap_or(name);
    let stem = |suffix: &str| whole.strip_suffix(suffix).unwrap_or_default().to_owned();
    match bucket {
        Bucket::Packages => is_hash(&stem(".deb"), 64),
        Bucket::Indices => is_hash(whole, 64),
        Bucket::Blocks => is_hash(&stem(super::pack::SUFFIX), 32),
        Bucket::Unpacked => is_hash(&stem(".tar"), 64),
        // Work directories, and roots, with what their last owner renamed.
        Bucket::Trees => {
            let name = name.strip_prefix("tools-").unwrap_or(name);
            name.starts_with("build-") || is_hash(name.split('.').next().unwrap_or_default(), 64)
        }
    }
}

/// The lock file of a tree, held while it is used or created.
pub const TREE_LOCK: &str = "lock";

fn list_trees(folder: &Path, entries: &mut Vec<Entry>) -> io::Result<()> {
    let listing = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listing => listing?,
    };
    for entry in listing {
        let entry = entry?;
        let path = entry.path();
        if !is_entry(Bucket::Trees, &entry.file_name().to_string_lossy()) {
            continue;
        }
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

    /// A name of the cache's in the bucket `room`.
    fn name(room: &str, digit: char) -> String {
        let digits = |count| digit.to_string().repeat(count);
        match room {
            "packages" => format!("packages/sha256/{}/{}.deb", digits(2), digits(64)),
            "indices" => format!("indices/sha256/{}/{}", digits(2), digits(64)),
            "blocks" => format!("blocks/{}.pack", digits(32)),
            "unpacked" => format!("unpacked/{}.tar", digits(64)),
            _ => format!("trees/{}", digits(64)),
        }
    }

    #[test]
    fn files_of_others_are_no_entries() {
        let cache = tempfile::tempdir().unwrap();
        let others = [
            "packages/mine.txt",
            "packages/sha256/ab/thesis.doc",
            "packages/sha256/ab/cafe.deb",
            "indices/notes",
            "blocks/site.pack",
            "unpacked/photos.tar",
            "trees/oak/file",
            "trees/oak/lock",
        ];
        let own = ["packages", "indices", "blocks", "unpacked"].map(|room| name(room, 'a'));
        for file in others.iter().map(|file| (*file).to_owned()).chain(own.iter().cloned()) {
            let path = cache.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, [0; 10]).unwrap();
        }
        assert_eq!(
            Cache::new(cache.path()).prune(0).unwrap(),
            Pruned { removed: 4, freed: 40, left: 0, in_use: false }
        );
        assert!(others.iter().all(|file| cache.path().join(file).exists()));
        assert!(!own.iter().any(|file| cache.path().join(file).exists()));
    }

    #[test]
    fn what_was_used_last_stays() {
        let cache = tempfile::tempdir().unwrap();
        for (file, age) in [
            (name("packages", 'a'), 30),
            (name("blocks", 'b'), 20),
            (name("indices", 'c'), 10),
            ("blocks/.lock".into(), 90),
        ] {
            let path = cache.path().join(file);
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
        assert!(!cache.path().join(name("packages", 'a')).exists());
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
        let tree = |digit| {
            let path = cache.path().join(name("trees", digit));
            fs::create_dir_all(path.join("root/deep")).unwrap();
            fs::write(path.join("root/deep/file"), [0; 100]).unwrap();
            fs::write(path.join(TREE_LOCK), "").unwrap();
            path
        };
        let (used, free) = (tree('a'), tree('f'));
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
        for room in ["packages", "indices", "blocks", "unpacked", "trees"] {
            let file = name(room, 'e') + if room == "trees" { "/file" } else { "" };
            let path = cache.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, [0; 10]).unwrap();
        }
        let (one, other) = (Cache::new(cache.path()).lock_shared(), Cache::new(cache.path()).lock_shared());
        assert!(one.is_some() && other.is_some());
        drop(one);
        assert_eq!(
            Cache::new(cache.path()).prune(0).unwrap(),
            Pruned { removed: 2, freed: 20, left: 30, in_use: true }
        );
        assert!(!cache.path().join(name("blocks", 'e')).exists());
        assert!(!cache.path().join(name("unpacked", 'e')).exists());
        drop(other);
        assert_eq!(
            Cache::new(cache.path()).prune(0).unwrap(),
            Pruned { removed: 3, freed: 30, left: 0, in_use: false }
        );
    }
}
