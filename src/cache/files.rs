//! Fetched files by their SHA-256: cached between builds, and shared by concurrent builds.
//!
//! A file gets its final name only after its hash was verified. An incomplete file is in the same directory with the
//! suffix `.part`, locked by its writer; the next run resumes it. Parts that were not resumed and indices that were not
//! used expire; packages stay. Nothing is synced: a file that a power cut emptied has the wrong hash and is fetched
//! again.

use super::{Bucket, Cache, CacheError};
use crate::util::file_error::FileError;
use crate::util::sha256::{self, Hasher};
use appliance_contract::Sha256;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long an interrupted download may be resumed.
const KEEP_PART: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long an unused index is cached. Each refresh of a suite brings a new index; an old one is useful only while the
/// mirror still serves its suite.
const KEEP_INDEX: Duration = Duration::from_secs(30 * 24 * 3600);
/// The directory in the bucket. In it, files are grouped by the first two digits of their hash.
const BY_SHA256: &str = "sha256";

/// What a fetched file is; it decides the bucket, the suffix of the name, and whether the file expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A `.deb` file. It stays in the cache until it is pruned.
    Package,
    /// An index of an archive. It expires when it is not used.
    Index,
}

/// The result of a claim on a file: the file, or the right to create it.
#[derive(Debug)]
pub(crate) enum Claim {
    Whole(PathBuf),
    Part(Part),
}

impl Cache {
    /// The path of the file, whether or not it is cached.
    pub(crate) fn path(&self, kind: FileKind, digest: Sha256) -> PathBuf {
        let name = digest.to_string();
        let (bucket, ending) = match kind {
            FileKind::Package => (Bucket::Packages, ".deb"),
            FileKind::Index => (Bucket::Indices, ""),
        };
        self.bucket(bucket).join(BY_SHA256).join(&name[..2]).join(format!("{name}{ending}"))
    }

    /// The file, if it is cached and its content has this hash. A damaged file is removed.
    pub(crate) fn get(&self, kind: FileKind, digest: Sha256, size: u64) -> Result<Option<PathBuf>, CacheError> {
        let path = self.path(kind, digest);
        let fail = |action| failed(&path, action);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail("opening")(error)),
        };
        let found = file.metadata().map_err(fail("reading"))?.len();
        if sha256::of_reader(&file).map_err(fail("reading"))?.0 == digest {
            if found != size {
                return Err(CacheError::Size { path, found, expected: size });
            }
            if kind == FileKind::Index {
                // Its age counts from its last use. In another user's cache this fails, but so does removing.
                let _ = file.set_modified(SystemTime::now());
            }
            return Ok(Some(path));
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fail("removing a damaged file")(error)),
            _ => Ok(None),
        }
    }

    /// Whether a file of this size is cached. Only [`Cache::get`] verifies its content.
    pub(crate) fn has(&self, kind: FileKind, digest: Sha256, size: u64) -> bool {
        fs::metadata(self.path(kind, digest)).is_ok_and(|found| found.is_file() && found.len() == size)
    }

    /// The newest date of the Release files that were seen at `url`.
    pub(crate) fn newest_release(&self, url: &str) -> Option<i64> {
        let text = fs::read_to_string(self.release_record(url)).ok()?;
        // A full disk may have left half a line, without the URL or with a part of it.
        let dates = text.lines().filter_map(|line| line.split_once(' ').filter(|(_, at)| *at == url)?.0.parse().ok());
        dates.max()
    }

    /// Records the date of a Release file whose signature was verified.
    pub(crate) fn record_release(&self, url: &str, date: i64) -> Result<(), CacheError> {
        if self.newest_release(url).is_some_and(|newest| newest >= date) {
            return Ok(());
        }
        let path = self.release_record(url);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed(folder, "creating the directory"))?;
        }
        // An appended line is written completely or not at all, even if others append or this process is killed.
        let note = || {
            OpenOptions::new().append(true).create(true).open(&path)?.write_all(format!("\n{date} {url}\n").as_bytes())
        };
        note().map_err(failed(&path, "writing"))
    }

    fn release_record(&self, url: &str) -> PathBuf {
        self.seen().join(sha256::of(url).to_string())
    }

    /// Removes parts and indices that have expired by `now`. Packages stay: another lock may name them. Best effort:
    /// files that cannot be removed do no harm.
    pub fn remove_expired(&self, now: SystemTime) {
        for (bucket, keep) in [(Bucket::Packages, None), (Bucket::Indices, Some(KEEP_INDEX))] {
            let folders = entries(&self.bucket(bucket).join(BY_SHA256));
            for path in folders.flat_map(|folder| entries(&folder)) {
                let part = path.extension().is_some_and(|ending| ending == "part");
                let Some(keep) = (if part { Some(KEEP_PART) } else { keep }) else { continue };
                let Ok(file) = File::open(&path) else { continue };
                let modified = file.metadata().and_then(|metadata| metadata.modified());
                let old = modified.is_ok_and(|time| now.duration_since(time).is_ok_and(|age| age > keep));
                // A part that is being written is locked. `claim` detects if its file was removed before it was locked.
                if old && file.try_lock().is_ok() {
                    let _ = fs::remove_file(&path);
                }
            }
        }
    }

    /// The file, or the locked part of it. Calls `waiting` and waits if another process is writing the part.
    pub(crate) fn claim(
        &self,
        kind: FileKind,
        digest: Sha256,
        size: u64,
        waiting: &dyn Fn(),
    ) -> Result<Claim, CacheError> {
        let whole = self.path(kind, digest);
        let mut path = whole.clone().into_os_string();
        path.push(".part");
        let path = PathBuf::from(path);
        let fail = |action| failed(&path, action);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed(folder, "creating the directory"))?;
        }
        loop {
            if let Some(whole) = self.get(kind, digest, size)? {
                return Ok(Claim::Whole(whole));
            }
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).open(&path);
            let file = file.map_err(fail("opening"))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    waiting();
                    file.lock().map_err(fail("locking"))?;
                }
                Err(TryLockError::Error(error)) => return Err(fail("locking")(error)),
            }
            // The previous holder of the lock may have renamed or removed this file.
            let ours = file.metadata().map_err(fail("reading"))?;
            match fs::metadata(&path) {
                Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {}
                _ => continue,
            }
            // If the previous holder finished between the check above and this lock, the locked file is a new, empty
            // one.
            if let Some(whole) = self.get(kind, digest, size)? {
                fs::remove_file(&path).map_err(fail("removing"))?;
                return Ok(Claim::Whole(whole));
            }
            let mut part =
                Part { file, hasher: Hasher::default(), position: 0, resumed: false, path: path.clone(), whole };
            part.resume(size)?;
            return Ok(Claim::Part(part));
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn failed<'a>(path: &'a Path, action: &'static str) -> impl Fn(io::Error) -> CacheError + 'a {
    move |source| CacheError::Io { source: FileError::new(action, path, source) }
}

/// An incomplete file; locked while this value lives.
#[derive(Debug)]
pub(crate) struct Part {
    file: File,
    hasher: Hasher,
    position: u64,
    /// Whether a part of it is from an earlier run.
    pub resumed: bool,
    path: PathBuf,
    whole: PathBuf,
}

impl Part {
    /// Hashes the bytes that an earlier run left.
    fn resume(&mut self, size: u64) -> Result<(), CacheError> {
        let fail = |error| failed(&self.path, "reading")(error);
        let length = self.file.metadata().map_err(fail)?.len();
        if length > size {
            return self.clear().map_err(|error| failed(&self.path, "writing")(error));
        }
        self.position = self.hasher.update_from(&mut self.file).map_err(fail)?;
        self.resumed = self.position > 0;
        Ok(())
    }

    /// The number of bytes so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Empties the file.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = Hasher::default();
        (self.position, self.resumed) = (0, false);
        Ok(())
    }

    /// Renames the file to its final name if its content has this hash; empties it otherwise.
    pub fn finish(&mut self, expected: Sha256) -> Result<PathBuf, CacheError> {
        let found = self.hasher.clone().finish();
        if found != expected {
            self.clear().map_err(failed(&self.path, "writing"))?;
            return Err(CacheError::Mismatch { expected, found });
        }
        fs::rename(&self.path, &self.whole).map_err(failed(&self.path, "renaming"))?;
        Ok(self.whole.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn put(cache: &Cache, kind: FileKind, text: &str, ending: &str) -> PathBuf {
        let mut path = cache.path(kind, digest(text)).into_os_string();
        path.push(ending);
        let path = PathBuf::from(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn digest(text: &str) -> Sha256 {
        sha256::of_reader(text.as_bytes()).unwrap().0
    }

    #[test]
    fn old_parts_and_indices_go_and_packages_stay() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let package = put(&cache, FileKind::Package, "a", "");
        let part = put(&cache, FileKind::Package, "b", ".part");
        let index = put(&cache, FileKind::Index, "c", "");
        let held = put(&cache, FileKind::Index, "d", ".part");
        let lock = File::open(&held).unwrap();
        lock.lock().unwrap();
        let now = SystemTime::now();
        let there = || [&package, &part, &index, &held].map(|path| path.exists());
        cache.remove_expired(now + 6 * DAY);
        assert_eq!(there(), [true; 4]);
        cache.remove_expired(now + 8 * DAY);
        assert_eq!(there(), [true, false, true, true]);
        cache.remove_expired(now + 31 * DAY);
        assert_eq!(there(), [true, false, false, true]);
        drop(lock);
        cache.remove_expired(now + 31 * DAY);
        assert_eq!(there(), [true, false, false, false]);
    }

    #[test]
    fn an_index_that_is_used_stays_young() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let index = put(&cache, FileKind::Index, "c", "");
        let long_ago = SystemTime::now() - 40 * DAY;
        File::open(&index).unwrap().set_modified(long_ago).unwrap();
        assert!(cache.get(FileKind::Index, digest("c"), 1).unwrap().is_some());
        cache.remove_expired(SystemTime::now());
        assert!(index.exists());
    }

    #[test]
    fn the_newest_release_is_remembered_for_each_place() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let (one, other) = ("http://one.example.org", "file:/other");
        assert_eq!(cache.newest_release(one), None);
        for date in [70, 50, 90, 80] {
            cache.record_release(one, date).unwrap();
        }
        assert_eq!((cache.newest_release(one), cache.newest_release(other)), (Some(90), None));
        // Half a line, left by a full disk, is ignored.
        for half in ["\n9", "\n999 http://one.exam"] {
            OpenOptions::new()
                .append(true)
                .open(cache.release_record(one))
                .unwrap()
                .write_all(half.as_bytes())
                .unwrap();
            assert_eq!(cache.newest_release(one), Some(90));
        }
        cache.record_release(one, 95).unwrap();
        assert_eq!(cache.newest_release(one), Some(95));
    }

    #[test]
    fn of_those_that_claim_at_once_one_makes_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        for round in 0..1000 {
            let text = round.to_string();
            let expected = digest(&text);
            let made = std::sync::atomic::AtomicUsize::new(0);
            let claim = || match cache.claim(FileKind::Package, expected, text.len() as u64, &|| {}).unwrap() {
                Claim::Whole(path) => path,
                Claim::Part(mut part) => {
                    made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    part.append(text.as_bytes()).unwrap();
                    part.finish(expected).unwrap()
                }
            };
            std::thread::scope(|scope| drop([(), (), ()].map(|()| scope.spawn(claim))));
            let there: Vec<PathBuf> = entries(cache.path(FileKind::Package, expected).parent().unwrap()).collect();
            assert_eq!(made.into_inner(), 1, "round {round}");
            assert!(there.iter().all(|path| path.extension().is_some_and(|ending| ending == "deb")), "{there:?}");
        }
    }

    #[test]
    fn who_must_wait_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let said = std::sync::atomic::AtomicBool::new(false);
        let claim = |said: &std::sync::atomic::AtomicBool| {
            let waiting = || said.store(true, std::sync::atomic::Ordering::Relaxed);
            cache.claim(FileKind::Package, digest("x"), 1, &waiting).unwrap()
        };
        let first = claim(&said);
        assert!(!said.load(std::sync::atomic::Ordering::Relaxed));
        std::thread::scope(|scope| {
            let second = scope.spawn(|| claim(&said));
            while !said.load(std::sync::atomic::Ordering::Relaxed) {
                std::thread::yield_now();
            }
            drop(first);
            second.join().unwrap();
        });
    }
}
