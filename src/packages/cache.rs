//! Files by their SHA-256, kept between builds and shared by builds that run at once.
//!
//! A file gets its name only when its hash was right. What is not whole yet is
//! beside it as `.part`, locked by whoever writes it, and the next run goes on there.
//! Nothing is synced: a file that a power cut emptied has the wrong hash, and is fetched again.

use super::digest::Digest;
use super::http::HttpError;
use super::transfer::Sink;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Package,
    Index,
}

#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("cache {}: {action}: {source}; another folder may be given with --cache", path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("found the SHA-256 {found}, expected {expected}")]
    Mismatch { expected: Digest, found: Digest },
}

/// What a claim on a file gives: the file, or the right to make it.
#[derive(Debug)]
pub(super) enum Claim {
    Whole(PathBuf),
    Part(Part),
}

/// `$XDG_CACHE_HOME/applbuild` or `~/.cache/applbuild`.
pub fn default_folder() -> Option<PathBuf> {
    // The XDG base directory specification: a path that is not absolute is to be ignored.
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("applbuild"))
}

impl Cache {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the file is, or would be.
    pub fn path(&self, kind: Kind, digest: Digest) -> PathBuf {
        let name = digest.to_string();
        let (kind, ending) = match kind {
            Kind::Package => ("packages", ".deb"),
            Kind::Index => ("indices", ""),
        };
        self.folder.join(kind).join("sha256").join(&name[..2]).join(format!("{name}{ending}"))
    }

    /// The file, if it is here and its content is right. One that is damaged is taken away.
    pub fn get(&self, kind: Kind, digest: Digest, size: u64) -> Result<Option<PathBuf>, CacheError> {
        let path = self.path(kind, digest);
        let fail = |action| failed(&path, action);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail("opening")(error)),
        };
        let found = file.metadata().map_err(fail("reading"))?.len();
        if found == size && Digest::of_reader(&file).map_err(fail("reading"))?.0 == digest {
            return Ok(Some(path));
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fail("removing a damaged file")(error)),
            _ => Ok(None),
        }
    }

    /// The file, or the one part of it that is being made; waits while another process makes it.
    pub(super) fn claim(&self, kind: Kind, digest: Digest, size: u64) -> Result<Claim, CacheError> {
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
            file.lock().map_err(fail("locking"))?;
            // Whoever had the lock before may have given this file its name, or taken it away.
            let ours = file.metadata().map_err(fail("reading"))?;
            match fs::metadata(&path) {
                Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {}
                _ => continue,
            }
            let mut part = Part { file, hasher: Sha256::new(), position: 0, resumed: false, path: path.clone(), whole };
            part.take_up(size)?;
            return Ok(Claim::Part(part));
        }
    }
}

fn failed<'a>(path: &'a Path, action: &'static str) -> impl Fn(io::Error) -> CacheError + 'a {
    move |source| CacheError::Io { path: path.to_owned(), action, source }
}

/// A file that is not whole yet; locked as long as this lives.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    hasher: Sha256,
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
        let mut buffer = vec![0; 256 << 10];
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.hasher.update(&buffer[..count]);
                    self.position += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(fail(error)),
            }
        }
        self.resumed = self.position > 0;
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = Sha256::new();
        (self.position, self.resumed) = (0, false);
        Ok(())
    }

    /// Gives the file its name, if its content is right; else empties it.
    pub fn finish(&mut self, expected: Digest) -> Result<PathBuf, CacheError> {
        let found = Digest::from(<[u8; 32]>::from(self.hasher.clone().finalize()));
        if found != expected {
            self.clear().map_err(failed(&self.path, "writing"))?;
            return Err(CacheError::Mismatch { expected, found });
        }
        fs::rename(&self.path, &self.whole).map_err(failed(&self.path, "renaming"))?;
        Ok(self.whole.clone())
    }
}

impl Sink for Part {
    fn position(&self) -> u64 {
        self.position
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), HttpError> {
        self.file.write_all(bytes).map_err(|source| HttpError::Write { path: self.path.clone(), source })?;
        self.hasher.update(bytes);
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), HttpError> {
        self.clear().map_err(|source| HttpError::Write { path: self.path.clone(), source })
    }
}
