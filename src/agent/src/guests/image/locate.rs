//! Where an image's files are: in a folder of the store, or on the medium that
//! booted, which is read without mounting it.

use crate::formats::iso::{FileRange, IsoError, Volume};
use crate::system::world::World;
use appliance_shared::read_at::ReadAt;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder on the ISO 9660 volume on a raw device.
    Medium {
        /// The raw device.
        device: PathBuf,
        /// The image's directory on the volume.
        folder: String,
    },
    /// A directory of the node's store.
    Store {
        /// Its absolute path.
        folder: PathBuf,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Medium { device, folder } => write!(f, "{folder} on the medium {}", device.display()),
            Self::Store { folder } => write!(f, "{}", folder.display()),
        }
    }
}

/// The bytes of one file: a run within a device, or a file of its own.
#[derive(Debug)]
pub struct Bytes {
    /// As the node calls it.
    pub backing: PathBuf,
    /// Which bytes of `backing`.
    pub range: FileRange,
    file: File,
}

impl Place {
    /// Whether the folder is called as one of this image must be; on a medium each name has one.
    pub fn is_called(&self, name: &str, version: &str) -> bool {
        match self {
            Self::Medium { .. } => true,
            Self::Store { folder } => folder.file_name().is_some_and(|found| *found == *format!("{name}-{version}")),
        }
    }

    /// Whether the image has such a file.
    pub fn holds(&self, world: &World<'_>, file: &str) -> io::Result<bool> {
        match self.open(world, file) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens a file of the image; nothing is mounted.
    pub fn open(&self, world: &World<'_>, name: &str) -> io::Result<Bytes> {
        match self {
            Self::Medium { device, folder } => {
                let file = File::open(world.at(device))?;
                let range = Volume::open(&file).and_then(|volume| volume.find(&format!("{folder}/{name}")));
                let range = range.map_err(|error| match error {
                    IsoError::Read(error) => error,
                    IsoError::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, error),
                    error => io::Error::new(io::ErrorKind::InvalidData, error),
                })?;
                Ok(Bytes { backing: device.clone(), range, file })
            }
            Self::Store { folder } => {
                let backing = folder.join(name);
                // Opening a named pipe would wait for ever.
                if !fs::metadata(world.at(&backing))?.is_file() {
                    return Err(io::Error::other("it is no regular file"));
                }
                let file = File::open(world.at(&backing))?;
                let length = file.metadata()?.len();
                Ok(Bytes { backing, range: FileRange { offset: 0, length }, file })
            }
        }
    }
}

impl Bytes {
    /// Reads all of a file that has at most `limit` bytes.
    pub fn read_whole(&self, limit: u64) -> io::Result<Vec<u8>> {
        let length = self.range.length;
        if length > limit {
            return Err(io::Error::other(format!("it has {length} bytes, expected {limit} at most")));
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Gives all bytes to `take`, a piece at a time.
    pub fn read_through(&self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        let mut at = 0;
        while at < self.range.length {
            let piece = (self.range.length - at).min(buffer.len() as u64);
            let buffer = &mut buffer[..piece as usize];
            self.read_exact_at(buffer, at)?;
            take(buffer)?;
            at += piece;
        }
        Ok(())
    }
}

impl ReadAt for Bytes {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|&end| end <= self.range.length);
        if end.is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        ReadAt::read_exact_at(&self.file, buf, self.range.offset + offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.range.length)
    }
}
