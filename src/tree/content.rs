//! The content of a regular file: bytes in memory, or a part of a file of the host.

use super::Fingerprint;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// The bytes of a regular file, held or named.
#[derive(Debug, Clone)]
pub enum Content {
    /// Held in memory.
    Bytes(Arc<[u8]>),
    /// `length` bytes of the host's file at `path` from `offset`; from 0, the whole file.
    Host {
        /// The host's file.
        path: Arc<PathBuf>,
        /// Where the content begins in it.
        offset: u64,
        /// Bytes of the content.
        length: u64,
        /// Known where the content was read before, and cannot have changed since.
        fingerprint: Option<Arc<Fingerprint>>,
    },
}

impl Content {
    /// The host's whole file at `path`, which has `length` bytes.
    pub fn host(path: PathBuf, length: u64) -> Self {
        Self::Host { path: Arc::new(path), offset: 0, length, fingerprint: None }
    }

    /// `length` bytes of the host's file at `path` from `offset`.
    pub fn part(path: PathBuf, offset: u64, length: u64) -> Self {
        Self::Host { path: Arc::new(path), offset, length, fingerprint: None }
    }

    /// The host's file at `path`, whose content is `fingerprint`'s.
    pub fn known(path: PathBuf, fingerprint: Arc<Fingerprint>) -> Self {
        let length = fingerprint.length;
        Self::Host { path: Arc::new(path), offset: 0, length, fingerprint: Some(fingerprint) }
    }

    /// The length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Host { length, .. } => *length,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A reader of exactly [`Content::len`] bytes, unless the host's file has shrunk.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Bytes(bytes) => Ok(Box::new(Cursor::new(Arc::clone(bytes)))),
            Self::Host { path, offset, length, .. } => {
                let mut file = File::open(path.as_path())?;
                if *offset > 0 {
                    file.seek(SeekFrom::Start(*offset))?;
                }
                Ok(Box::new(file.take(*length)))
            }
        }
    }

    /// Puts `length` bytes from `start` behind those in `out`.
    pub fn read_at(&self, start: u64, length: usize, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(start).unwrap_or(usize::MAX);
                let part = bytes.get(start..).and_then(|rest| rest.get(..length));
                out.extend_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Self::Host { path, offset, .. } => {
                let before = out.len();
                out.resize(before + length, 0);
                File::open(path.as_path())?.read_exact_at(&mut out[before..], offset + start)
            }
        }
    }

    /// What the content is known by: read now, unless that is known.
    pub fn fingerprint(&self) -> io::Result<Arc<Fingerprint>> {
        match self {
            Self::Host { fingerprint: Some(known), .. } => Ok(Arc::clone(known)),
            _ => Ok(Arc::new(Fingerprint::of(self.open()?)?)),
        }
    }

    /// How many bytes there are by now: not [`Content::len`] where the host's
    /// file has shrunk or, when it is taken whole, grown.
    pub fn current_len(&self) -> io::Result<u64> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
            Self::Host { path, offset, length, .. } => {
                let found = std::fs::metadata(path.as_path())?.len();
                Ok(if *offset == 0 { found } else { found.saturating_sub(*offset).min(*length) })
            }
        }
    }

    /// The whole content; an error when the host's file is shorter than it was.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.len()).unwrap_or(0));
        self.open()?.read_to_end(&mut bytes)?;
        if bytes.len() as u64 != self.len() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("found {} bytes, expected {}", bytes.len(), self.len()),
            ));
        }
        Ok(bytes)
    }
}

impl<T: Into<Vec<u8>>> From<T> for Content {
    fn from(bytes: T) -> Self {
        Self::Bytes(bytes.into().into())
    }
}
