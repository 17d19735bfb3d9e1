//! The block store: a cache of compressed squashfs blocks. Blocks are independent of each other, so a rebuild copies
//! unchanged ones instead of compressing them again.

use super::pack::{self, PackEntry, PackWriter};
use super::{Bucket, Cache, CacheError, failed};
use crate::format::squashfs::{BlockCache, BlockKey, Hit};
use crate::util::atomic_file;
use crate::util::poison::Unpoisoned;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::SystemTime;

/// A killed build loses at most this many bytes of compressed blocks.
const PACK_SIZE: u64 = 64 << 20;

/// The store of compressed blocks, open for reading and for appending. Builds may share it.
#[derive(Debug)]
pub struct BlockStore {
    folder: PathBuf,
    packs: Vec<Pack>,
    /// By key: an index into `packs`, and the entry in that pack.
    known: RwLock<HashMap<BlockKey, (usize, PackEntry)>>,
    writing: Mutex<Writing>,
    /// Blocks that this build stored before this store was opened.
    new: HashSet<BlockKey>,
    /// A shared lock, held by all writers. A process that gets it exclusively may clean up.
    _lock: File,
}

#[derive(Debug)]
struct Pack {
    path: PathBuf,
    file: File,
    used: AtomicBool,
}

#[derive(Debug, Default)]
struct Writing {
    pack: Option<PackWriter>,
    /// The first error; nothing is written after it.
    trouble: Option<io::Error>,
}

impl BlockStore {
    /// Opens the store in the cache's directory; creates it if it is missing.
    pub fn open(cache: &Cache) -> Result<Self, CacheError> {
        let folder = cache.bucket(Bucket::Blocks);
        fs::create_dir_all(&folder).map_err(failed("creating the directory", &folder))?;
        let lock = folder.join(".lock");
        let lock = File::create(&lock).map_err(failed("creating", &lock))?;
        let alone = lock.try_lock().is_ok();
        let mut packs = Vec::new();
        let mut known = HashMap::new();
        for path in paths(&folder).map_err(failed("listing", &folder))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(atomic_file::PREFIX) && alone {
                // A temporary file of a killed build.
                let _ = fs::remove_file(&path);
            }
            if !name.ends_with(pack::SUFFIX) {
                continue;
            }
            // Another build may have pruned it just now.
            let Ok(file) = File::open(&path) else { continue };
            match pack::read_index(&file) {
                Ok(Some(entries)) => {
                    known.extend(entries.into_iter().map(|entry| (entry.key, (packs.len(), entry))));
                    packs.push(Pack { path, file, used: AtomicBool::new(false) });
                }
                Ok(None) | Err(_) => drop(fs::remove_file(&path)),
            }
        }
        lock.lock_shared().map_err(failed("locking", &folder))?;
        let (known, writing) = (RwLock::new(known), Mutex::default());
        Ok(Self { folder, packs, known, writing, new: HashSet::new(), _lock: lock })
    }

    /// Sets the blocks that this build has already stored.
    pub fn with_new(mut self, keys: impl IntoIterator<Item = BlockKey>) -> Self {
        self.new.extend(keys);
        self
    }

    /// Finishes the current pack. Returns the first error of all writes; it is returned only here, because a build does
    /// not fail if the store cannot be written.
    pub fn finish(&self) -> Option<CacheError> {
        let now = SystemTime::now();
        for pack in self.packs.iter().filter(|pack| pack.used.swap(false, Ordering::Relaxed)) {
            // Pruning removes the least recently used. If this fails, the pack only looks older.
            let _ = pack.file.set_modified(now);
        }
        let mut writing = self.writing.lock().unpoisoned();
        if let Some(Err(error)) = writing.pack.take().map(PackWriter::finish) {
            writing.trouble = Some(error);
        }
        writing.trouble.take().map(failed("caching compressed blocks in", &self.folder))
    }

    fn remove_damaged(&self, key: &BlockKey, pack: usize) {
        self.known.write().unpoisoned().remove(key);
        // A damaged pack is removed whole; its good blocks are compressed again.
        let _ = fs::remove_file(&self.packs[pack].path);
    }

    fn write(&self, key: &BlockKey, hash: [u8; 32], packed: Option<&[u8]>) -> io::Result<()> {
        let mut writing = self.writing.lock().unpoisoned();
        if writing.trouble.is_some() {
            return Ok(());
        }
        let mut pack = match writing.pack.take() {
            Some(pack) => pack,
            None => PackWriter::new(&self.folder)?,
        };
        pack.add(*key, hash, packed)?;
        if pack.size >= PACK_SIZE {
            pack.finish()?;
        } else {
            writing.pack = Some(pack);
        }
        Ok(())
    }
}

impl BlockCache for BlockStore {
    fn has(&self, key: &BlockKey) -> bool {
        self.known.read().unpoisoned().contains_key(key)
    }

    fn is_new(&self, key: &BlockKey) -> bool {
        self.new.contains(key)
    }

    fn get(&self, key: &BlockKey, packed: &mut Vec<u8>) -> Option<Hit> {
        let (pack, entry) = self.known.read().unpoisoned().get(key).cloned()?;
        let found = entry.read(&self.packs[pack].file, packed);
        match found {
            Some(_) => self.packs[pack].used.store(true, Ordering::Relaxed),
            None => self.remove_damaged(key, pack),
        }
        found
    }

    fn put(&self, key: &BlockKey, packed: Option<&[u8]>) {
        let hash = blake3::hash(packed.unwrap_or_default()).into();
        if let Err(error) = self.write(key, hash, packed) {
            self.writing.lock().unpoisoned().trouble.get_or_insert(error);
        }
    }
}

impl Drop for BlockStore {
    fn drop(&mut self) {
        // The blocks of a failed build are valid and stay in the cache.
        let _ = self.finish();
    }
}

/// In byte order, so that if two packs have the same block, the same pack is always used.
fn paths(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::causes::WithCauses as _;
    use std::os::unix::fs::FileExt;

    fn at(path: &Path) -> Cache {
        Cache::new(path)
    }

    fn key(number: u8) -> BlockKey {
        BlockKey([number; 32])
    }

    fn get(store: &BlockStore, number: u8) -> Option<(Hit, Vec<u8>)> {
        let mut packed = Vec::new();
        store.get(&key(number), &mut packed).map(|kept| (kept, packed))
    }

    fn filled(cache: &Path) {
        let store = BlockStore::open(&at(cache)).unwrap();
        store.put(&key(1), Some(b"one"));
        store.put(&key(2), None);
        store.put(&key(3), Some(b"three"));
        assert!(store.finish().is_none());
    }

    fn packs(cache: &Path) -> Vec<PathBuf> {
        let mut found = paths(&at(cache).bucket(Bucket::Blocks)).unwrap();
        found.retain(|path| path.to_string_lossy().ends_with(pack::SUFFIX));
        found
    }

    #[test]
    fn gives_back_what_was_put() {
        let cache = tempfile::tempdir().unwrap();
        filled(cache.path());
        let store = BlockStore::open(&at(cache.path())).unwrap();
        assert_eq!(get(&store, 1), Some((Hit::Compressed, b"one".to_vec())));
        assert_eq!(get(&store, 2), Some((Hit::Stored, vec![])));
        assert_eq!(get(&store, 4), None);
    }

    #[test]
    fn a_damaged_block_is_none_and_its_pack_goes() {
        let cache = tempfile::tempdir().unwrap();
        filled(cache.path());
        let path = packs(cache.path()).remove(0);
        File::options().write(true).open(&path).unwrap().write_all_at(b"x", 1).unwrap();
        let store = BlockStore::open(&at(cache.path())).unwrap();
        assert_eq!(get(&store, 1), None);
        assert_eq!(get(&store, 3), Some((Hit::Compressed, b"three".to_vec())));
        assert!(!path.exists());
        store.put(&key(1), Some(b"one"));
        assert!(store.finish().is_none());
        assert_eq!(get(&BlockStore::open(&at(cache.path())).unwrap(), 1), Some((Hit::Compressed, b"one".to_vec())));
    }

    #[test]
    fn a_pack_cut_short_or_with_a_wrong_index_is_none() {
        let whole = tempfile::tempdir().unwrap();
        filled(whole.path());
        let bytes = fs::read(packs(whole.path()).remove(0)).unwrap();
        let cut = (0..bytes.len()).map(|length| bytes[..length].to_vec());
        let flipped = (8..bytes.len()).map(|at| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            bytes
        });
        for bytes in cut.chain(flipped) {
            let cache = tempfile::tempdir().unwrap();
            fs::create_dir(at(cache.path()).bucket(Bucket::Blocks)).unwrap();
            fs::write(at(cache.path()).bucket(Bucket::Blocks).join("x.pack"), bytes).unwrap();
            let store = BlockStore::open(&at(cache.path())).unwrap();
            assert_eq!(get(&store, 1), None);
            assert_eq!(packs(cache.path()).len(), 0);
        }
    }

    #[test]
    fn what_a_killed_build_left_goes_unless_another_runs() {
        let cache = tempfile::tempdir().unwrap();
        filled(cache.path());
        let left = at(cache.path()).bucket(Bucket::Blocks).join(format!("{}left", atomic_file::PREFIX));
        let running = BlockStore::open(&at(cache.path())).unwrap();
        fs::write(&left, "").unwrap();
        drop(BlockStore::open(&at(cache.path())).unwrap());
        assert!(left.exists());
        drop(running);
        drop(BlockStore::open(&at(cache.path())).unwrap());
        assert!(!left.exists());
    }

    #[test]
    fn two_builds_at_once_keep_what_both_made() {
        let cache = tempfile::tempdir().unwrap();
        let (first, second) =
            (BlockStore::open(&at(cache.path())).unwrap(), BlockStore::open(&at(cache.path())).unwrap());
        first.put(&key(1), Some(b"one"));
        second.put(&key(1), Some(b"one"));
        second.put(&key(2), Some(b"two"));
        assert!(first.finish().is_none() && second.finish().is_none());
        let store = BlockStore::open(&at(cache.path())).unwrap();
        assert_eq!(get(&store, 1), Some((Hit::Compressed, b"one".to_vec())));
        assert_eq!(get(&store, 2), Some((Hit::Compressed, b"two".to_vec())));
    }

    #[test]
    fn a_store_that_cannot_be_written_says_so_and_goes_on() {
        let cache = tempfile::tempdir().unwrap();
        filled(cache.path());
        let store = BlockStore::open(&at(cache.path())).unwrap();
        fs::remove_dir_all(at(cache.path()).bucket(Bucket::Blocks)).unwrap();
        store.put(&key(9), Some(b"nine"));
        assert_eq!(get(&store, 1), Some((Hit::Compressed, b"one".to_vec())));
        assert!(store.finish().unwrap().with_causes().contains("caching compressed blocks"));
    }
}
