//! Fetched files by their SHA-256, kept between builds and shared by builds that run at once.
//!
//! A file gets its name only when its hash was right. What is not whole yet is
//! beside it as `.part`, locked by whoever writes it, and the next run goes on there.
//! Parts that nobody went on with and indices that nobody asked for go after a while; packages stay.
//! Nothing is synced: a file that a power cut emptied has the wrong hash, and is fetched again.

use super::{Bucket, Cache, CacheError};
use crate::util::file_error::FileError;
use crate::util::sha256::{self, Hasher};
use appliance_contract::Sha256;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What an interrupted download left is worth going on with for this long.
const KEEP_PART: Duration = Duration::from_secs(7 * 24 * 3600);
/// Each refresh of a suite brings a new index; an old one serves only a build that the mirror has not moved on from.
const KEEP_INDEX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Below the bucket, and then by the first two digits.
const BY_SHA256: &str = "sha256";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Package,
    Index,
}

/// What a claim on a file gives: the file, or the right to make it.
#[derive(Debug)]
pub(crate) enum Claim {
    Whole(PathBuf),
    Part(Part),
}

impl Cache {
    /// Where the file is, or would be.
    pub fn path(&self, kind: Kind, digest: Sha256) -> PathBuf {
        let name = digest.to_string();
        let (bucket, ending) = match kind {
            Kind::Package => (Bucket::Packages, ".deb"),
            Kind::Index => (Bucket::Indices, ""),
        };
        self.bucket(bucket).join(BY_SHA256).join(&name[..2]).join(format!("{name}{ending}"))
    }

    /// The file, if it is here and its content is right. One that is damaged is taken away.
    pub fn get(&self, kind: Kind, digest: Sha256, size: u64) -> Result<Option<PathBuf>, CacheError> {
        let path = self.path(kind, digest);
        let fail = |action| failed(&path, action);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail("opening")(error)),
        };
        let found = file.metadata().map_err(fail("reading"))?.len();
        if found == size && sha256::of_reader(&file).map_err(fail("reading"))?.0 == digest {
            if kind == Kind::Index {
                // Its age is counted from its last use. In a cache that another user owns this fails, and so does removing.
                let _ = file.set_modified(SystemTime::now());
            }
            return Ok(Some(path));
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fail("removing a damaged file")(error)),
            _ => Ok(None),
        }
    }

    /// Whether a file of that size is here: what its content is, [`Cache::get`] tells.
    pub(crate) fn has(&self, kind: Kind, digest: Sha256, size: u64) -> bool {
        fs::metadata(self.path(kind, digest)).is_ok_and(|found| found.is_file() && found.len() == size)
    }

    /// The newest date of the Release files that were seen at `url`.
    pub(crate) fn newest_release(&self, url: &str) -> Option<i64> {
        let text = fs::read_to_string(self.seen_at(url)).ok()?;
        // A full disk may have left half a line, which lacks the URL or a part of it.
        let dates = text.lines().filter_map(|line| line.split_once(' ').filter(|(_, at)| *at == url)?.0.parse().ok());
        dates.max()
    }

    /// Notes the date of a Release file whose signature is good.
    pub(crate) fn saw_release(&self, url: &str, date: i64) -> Result<(), CacheError> {
        if self.newest_release(url).is_some_and(|newest| newest >= date) {
            return Ok(());
        }
        let path = self.seen_at(url);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed(folder, "making the folder"))?;
        }
        // A line at the end is there or not there, whoever else writes one and however this process ends.
        let note = || {
            OpenOptions::new().append(true).create(true).open(&path)?.write_all(format!("\n{date} {url}\n").as_bytes())
        };
        note().map_err(failed(&path, "writing"))
    }

    fn seen_at(&self, url: &str) -> PathBuf {
        self.seen().join(sha256::of(url).to_string())
    }

    /// Removes parts and indices that have not been touched for long by `now`. Packages stay: another lock may name
    /// them. What cannot be removed stays, too: it is only in the way.
    pub fn tidy(&self, now: SystemTime) {
        for (bucket, keep) in [(Bucket::Packages, None), (Bucket::Indices, Some(KEEP_INDEX))] {
            let folders = entries(&self.bucket(bucket).join(BY_SHA256));
            for path in folders.flat_map(|folder| entries(&folder)) {
                let part = path.extension().is_some_and(|ending| ending == "part");
                let Some(keep) = (if part { Some(KEEP_PART) } else { keep }) else { continue };
                let Ok(file) = File::open(&path) else { continue };
                let modified = file.metadata().and_then(|metadata| metadata.modified());
                let old = modified.is_ok_and(|time| now.duration_since(time).is_ok_and(|age| age > keep));
                // A part that is being written is locked; `claim` notices when its file was taken away before it locked it.
                if old && file.try_lock().is_ok() {
                    let _ = fs::remove_file(&path);
                }
            }
        }
    }

    /// The file, or the one part of it that is being made; waits while another process makes it, and says so by `waiting`.
    pub(crate) fn claim(&self, kind: Kind, digest: Sha256, size: u64, waiting: &dyn Fn()) -> Result<Claim, CacheError> {
        let whole = self.path(kind, digest);
        let mut path = whole.clone().into_os_string();
        path.push(".part");
        let path = PathBuf::from(path);
        let fail = |action| failed(&path, action);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed(folder, "making the folder"))?;
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
            // Whoever had the lock before may have given this file its name, or taken it away.
            let ours = file.metadata().map_err(fail("reading"))?;
            match fs::metadata(&path) {
                Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {}
                _ => continue,
            }
            // Whoever had it may have ended between the look above and this lock: then what is locked is a new, empty file.
            if let Some(whole) = self.get(kind, digest, size)? {
                fs::remove_file(&path).map_err(fail("removing"))?;
                return Ok(Claim::Whole(whole));
            }
            let mut part =
                Part { file, hasher: Hasher::default(), position: 0, resumed: false, path: path.clone(), whole };
            part.take_up(size)?;
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

/// A file that is not whole yet; locked as long as this lives.
#[derive(Debug)]
pub(crate) struct Part {
    file: File,
    hasher: Hasher,
    position: u64,
    /// Whether some of it is from an earlier run.
    pub resumed: bool,
    path: PathBuf,
    whole: PathBuf,
}

impl Part {
    /// Hashes what an earlier run left.
    fn take_up(&mut self, size: u64) -> Result<(), CacheError> {
        let fail = |error| failed(&self.path, "reading")(error);
        let length = self.file.metadata().map_err(fail)?.len();
        if length > size {
            return self.clear().map_err(|error| failed(&self.path, "writing")(error));
        }
        self.position = self.hasher.update_from(&mut self.file).map_err(fail)?;
        self.resumed = self.position > 0;
        Ok(())
    }

    /// How many bytes it holds.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds bytes at the end.
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

    /// Gives the file its name, if its content is right; else empties it.
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

    fn put(cache: &Cache, kind: Kind, text: &str, ending: &str) -> PathBuf {
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
        let package = put(&cache, Kind::Package, "a", "");
        let part = put(&cache, Kind::Package, "b", ".part");
        let index = put(&cache, Kind::Index, "c", "");
        let held = put(&cache, Kind::Index, "d", ".part");
        let lock = File::open(&held).unwrap();
        lock.lock().unwrap();
        let now = SystemTime::now();
        let there = || [&package, &part, &index, &held].map(|path| path.exists());
        cache.tidy(now + 6 * DAY);
        assert_eq!(there(), [true; 4]);
        cache.tidy(now + 8 * DAY);
        assert_eq!(there(), [true, false, true, true]);
        cache.tidy(now + 31 * DAY);
        assert_eq!(there(), [true, false, false, true]);
        drop(lock);
        cache.tidy(now + 31 * DAY);
        assert_eq!(there(), [true, false, false, false]);
    }

    #[test]
    fn an_index_that_is_used_stays_young() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let index = put(&cache, Kind::Index, "c", "");
        let long_ago = SystemTime::now() - 40 * DAY;
        File::open(&index).unwrap().set_modified(long_ago).unwrap();
        assert!(cache.get(Kind::Index, digest("c"), 1).unwrap().is_some());
        cache.tidy(SystemTime::now());
        assert!(index.exists());
    }

    #[test]
    fn the_newest_release_is_remembered_for_each_place() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let (one, other) = ("http://one.example.org", "file:/other");
        assert_eq!(cache.newest_release(one), None);
        for date in [70, 50, 90, 80] {
            cache.saw_release(one, date).unwrap();
        }
        assert_eq!((cache.newest_release(one), cache.newest_release(other)), (Some(90), None));
        // What a full disk leaves of a line counts for nothing.
        for half in ["\n9", "\n999 http://one.exam"] {
            OpenOptions::new().append(true).open(cache.seen_at(one)).unwrap().write_all(half.as_bytes()).unwrap();
            assert_eq!(cache.newest_release(one), Some(90));
        }
        cache.saw_release(one, 95).unwrap();
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
            let claim = || match cache.claim(Kind::Package, expected, text.len() as u64, &|| {}).unwrap() {
                Claim::Whole(path) => path,
                Claim::Part(mut part) => {
                    made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    part.append(text.as_bytes()).unwrap();
                    part.finish(expected).unwrap()
                }
            };
            std::thread::scope(|scope| drop([(), (), ()].map(|()| scope.spawn(claim))));
            let there: Vec<PathBuf> = entries(cache.path(Kind::Package, expected).parent().unwrap()).collect();
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
            cache.claim(Kind::Package, digest("x"), 1, &waiting).unwrap()
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
