//! The files of packages, decompressed: a tar archive for each package, by the
//! package's SHA-256, with a hash behind it of what the archive holds.
//!
//! The hash is that of who reads the archive, and hashes each file in any case.
//! An archive is written under a name that nobody looks for, and renamed when
//! it is whole. Nothing is synced: one that a power cut left half is known by
//! its hash.

use super::{Bucket, Cache};
use crate::util::atomic_file::{AtomicFile, Durability};
use appliance_contract::Sha256;
use nix::sys::statvfs::statvfs;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Take, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes of the hash at an archive's end.
const HASH: usize = 32;
const BUFFER: usize = 1 << 18;
/// Bytes of the disk that are left free.
const RESERVE: u64 = 1 << 30;

/// The room where they are kept.
#[derive(Debug, Clone)]
pub struct Unpacked {
    folder: PathBuf,
}

impl Unpacked {
    pub fn new(cache: &Cache) -> Self {
        Self { folder: cache.bucket(Bucket::Unpacked) }
    }

    fn path(&self, package: Sha256) -> PathBuf {
        self.folder.join(format!("{package}.tar"))
    }

    /// What is kept of the package with this SHA-256; it may be damaged.
    pub fn get(&self, package: Sha256) -> Option<Found> {
        let file = File::open(self.path(package)).ok()?;
        let length = file.metadata().ok()?.len().checked_sub(HASH as u64)?;
        // For the pruning of what was used least recently.
        let _ = file.set_modified(SystemTime::now());
        let mut hash = [0; HASH];
        file.read_exact_at(&mut hash, length).ok()?;
        Some(Found { archive: BufReader::with_capacity(BUFFER, file).take(length), hash: hash.into() })
    }

    /// Reads what `from` has, and keeps it for the next build, in a file that is `aside` until it is whole.
    pub fn keep<R: Read>(&self, package: Sha256, from: R, aside: PathBuf) -> CachingReader<R> {
        let make = || AtomicFile::adopt(File::create_new(&aside)?, &aside);
        let to =
            self.has_room(&aside).then(make).and_then(Result::ok).map(|file| BufWriter::with_capacity(BUFFER, file));
        CachingReader { from, to, ended: false, path: self.path(package) }
    }

    /// Whether a file that is `aside` can be renamed to here, on a disk that is not nearly full: what is kept must not be
    /// what a build fails for want of.
    fn has_room(&self, aside: &Path) -> bool {
        let found = || -> io::Result<bool> {
            fs::create_dir_all(&self.folder)?;
            let one_disk = fs::metadata(&self.folder)?.dev() == fs::metadata(aside.parent().unwrap_or(aside))?.dev();
            let disk = statvfs(&self.folder)?;
            Ok(one_disk && disk.blocks_available().saturating_mul(disk.fragment_size()) >= RESERVE)
        };
        found().unwrap_or(false)
    }

    /// What is damaged once is not to be met again.
    pub fn forget(&self, package: Sha256) {
        let _ = fs::remove_file(self.path(package));
    }
}

/// An archive that is kept.
#[derive(Debug)]
pub struct Found {
    pub archive: Take<BufReader<File>>,
    /// What it holds must come to this.
    pub hash: Sha256,
}

/// Reads an archive that is kept at the same time. Where that fails, it is not kept, and nothing else.
#[derive(Debug)]
pub struct CachingReader<R> {
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
    /// Gives what was read to its end the name under which it is looked for; `hash` is of what it holds.
    pub fn finish(mut self, hash: Sha256) {
        let Some(mut to) = self.to.take().filter(|_| self.ended) else { return };
        let keep = || -> io::Result<()> {
            to.write_all(hash.as_bytes())?;
            let file = to.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.persist(&self.path, 0o600, Durability::Unsynced)
        };
        // Without it, the next build decompresses the package once more.
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
        let mut keeping = unpacked.keep(package(), bytes, cache.join("aside"));
        let mut found = Vec::new();
        keeping.read_to_end(&mut found).unwrap();
        assert_eq!(found, bytes);
        keeping.finish(SOME.into());
        assert!(!cache.join("aside").exists());
        unpacked
    }

    fn read(unpacked: &Unpacked) -> Option<(Vec<u8>, [u8; HASH])> {
        let Found { mut archive, hash } = unpacked.get(package())?;
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
            unpacked.forget(package());
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
        let mut keeping = unpacked.keep(package(), &b"some files"[..], cache.path().join("aside"));
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
        let mut keeping = unpacked.keep(package(), &b"some files"[..], cache.path().join("no/such/folder"));
        assert_eq!(keeping.read_to_end(&mut Vec::new()).unwrap(), 10);
        keeping.finish(SOME.into());
    }
}
