//! The decompressed files of packages: a tar archive for each package, named by the package's SHA-256 and followed by a
//! hash of its content.
//!
//! The reader of the archive computes that hash, since it hashes each file in any case. An archive is written
//! atomically, but not synced: the hash detects an archive that a power cut left incomplete.

use super::{Bucket, Cache};
use crate::util::atomic_file::{AtomicFile, Durability};
use appliance_contract::Sha256;
use nix::sys::statvfs::statvfs;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Take, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes of the hash after an archive.
const HASH: usize = 32;
const BUFFER: usize = 1 << 18;
/// Bytes of the disk that stay free.
const RESERVE: u64 = 1 << 30;

/// The directory of these archives.
#[derive(Debug, Clone)]
pub struct Unpacked {
    folder: PathBuf,
}

impl Unpacked {
    /// The directory in `cache`; it is created when an archive is stored.
    pub fn new(cache: &Cache) -> Self {
        Self { folder: cache.bucket(Bucket::Unpacked) }
    }

    fn path(&self, package: Sha256) -> PathBuf {
        self.folder.join(format!("{package}.tar"))
    }

    /// The cached archive of the package with this SHA-256. It may be damaged.
    pub(crate) fn get(&self, package: Sha256) -> Option<CachedArchive> {
        let file = File::open(self.path(package)).ok()?;
        let length = file.metadata().ok()?.len().checked_sub(HASH as u64)?;
        // Pruning removes the least recently used.
        let _ = file.set_modified(SystemTime::now());
        let mut hash = [0; HASH];
        file.read_exact_at(&mut hash, length).ok()?;
        Some(CachedArchive { archive: BufReader::with_capacity(BUFFER, file).take(length), hash: hash.into() })
    }

    /// A reader of `from` that also writes all bytes to the temporary file `aside`, to cache them for the next build.
    pub(crate) fn caching_reader<R: Read>(&self, package: Sha256, from: R, aside: PathBuf) -> CachingReader<R> {
        let make = || AtomicFile::adopt(File::create_new(&aside)?, &aside);
        let to =
            self.has_room(&aside).then(make).and_then(Result::ok).map(|file| BufWriter::with_capacity(BUFFER, file));
        CachingReader { from, to, ended: false, path: self.path(package) }
    }

    /// Whether `aside` is on the same file system, and the disk is not nearly full: a build must not fail because the
    /// cache has filled the disk.
    fn has_room(&self, aside: &Path) -> bool {
        let found = || -> io::Result<bool> {
            fs::create_dir_all(&self.folder)?;
            let one_disk = fs::metadata(&self.folder)?.dev() == fs::metadata(aside.parent().unwrap_or(aside))?.dev();
            let disk = statvfs(&self.folder)?;
            Ok(one_disk && disk.blocks_available().saturating_mul(disk.fragment_size()) >= RESERVE)
        };
        found().unwrap_or(false)
    }

    /// Removes a damaged archive.
    pub(crate) fn remove(&self, package: Sha256) {
        let _ = fs::remove_file(self.path(package));
    }
}

/// A cached archive.
#[derive(Debug)]
pub(crate) struct CachedArchive {
    /// The tar archive, without the hash that follows it in the file.
    pub(crate) archive: Take<BufReader<File>>,
    /// The expected hash of its content.
    pub(crate) hash: Sha256,
}

/// Reads an archive and caches it at the same time. If caching fails, the archive is not cached; reading continues.
#[derive(Debug)]
pub(crate) struct CachingReader<R> {
    from: R,
    to: Option<BufWriter<AtomicFile>>,
    ended: bool,
    path: PathBuf,
}

impl<R: Read> Read for CachingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.ended = count == 0 && !buffer.is_empty();
        if let Some(to) = &mut self.to
            && to.write_all(&buffer[..count]).is_err()
        {
            self.to = None;
        }
        Ok(count)
    }
}

impl<R> CachingReader<R> {
    /// Stores the archive in the cache if it was read to its end. `hash` is the hash of its content.
    pub(crate) fn finish(mut self, hash: Sha256) {
        let Some(mut to) = self.to.take().filter(|_| self.ended) else { return };
        let keep = || -> io::Result<()> {
            to.write_all(hash.as_bytes())?;
            let file = to.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.persist(&self.path, 0o600, Durability::Unsynced)
        };
        // If this fails, the next build decompresses the package again.
        let _ = keep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: [u8; HASH] = [7; HASH];

    fn package() -> Sha256 {
        [5; 32].into()
    }

    fn kept(cache: &Path, bytes: &[u8]) -> Unpacked {
        let unpacked = Unpacked::new(&Cache::new(cache));
        let mut keeping = unpacked.caching_reader(package(), bytes, cache.join("aside"));
        let mut found = Vec::new();
        keeping.read_to_end(&mut found).unwrap();
        assert_eq!(found, bytes);
        keeping.finish(SOME.into());
        assert!(!cache.join("aside").exists());
        unpacked
    }

    fn read(unpacked: &Unpacked) -> Option<(Vec<u8>, [u8; HASH])> {
        let CachedArchive { mut archive, hash } = unpacked.get(package())?;
        let mut found = Vec::new();
        archive.read_to_end(&mut found).unwrap();
        Some((found, *hash.as_bytes()))
    }

    #[test]
    fn gives_back_what_was_put() {
        for bytes in [vec![], b"one".to_vec(), vec![7; 3 * BUFFER + 1]] {
            let cache = tempfile::tempdir().unwrap();
            assert!(read(&Unpacked::new(&Cache::new(cache.path()))).is_none());
            let unpacked = kept(cache.path(), &bytes);
            assert_eq!(read(&unpacked), Some((bytes, SOME)));
            unpacked.remove(package());
            assert!(read(&unpacked).is_none());
        }
    }

    #[test]
    fn one_cut_short_is_another_or_none() {
        let cache = tempfile::tempdir().unwrap();
        let unpacked = kept(cache.path(), b"some files");
        let path = unpacked.path(package());
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_ne!(read(&unpacked), Some((b"some files".to_vec(), SOME)), "cut to {length}");
        }
    }

    #[test]
    fn what_was_not_read_to_its_end_is_not_kept() {
        let cache = tempfile::tempdir().unwrap();
        let unpacked = Unpacked::new(&Cache::new(cache.path()));
        let mut keeping = unpacked.caching_reader(package(), &b"some files"[..], cache.path().join("aside"));
        keeping.read_exact(&mut [0; 10]).unwrap();
        keeping.finish(SOME.into());
        assert!(read(&unpacked).is_none() && !cache.path().join("aside").exists());
    }

    #[test]
    fn a_room_that_cannot_be_written_changes_nothing() {
        let cache = tempfile::tempdir().unwrap();
        fs::write(cache.path().join("unpacked"), "in the way").unwrap();
        let unpacked = kept(cache.path(), b"some files");
        assert!(read(&unpacked).is_none());
        let mut keeping = unpacked.caching_reader(package(), &b"some files"[..], cache.path().join("no/such/folder"));
        assert_eq!(keeping.read_to_end(&mut Vec::new()).unwrap(), 10);
        keeping.finish(SOME.into());
    }
}
