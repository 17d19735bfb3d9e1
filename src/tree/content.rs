use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

/// The bytes of a regular file, held or named.
#[derive(Debug, Clone)]
pub enum Content {
    Bytes(Arc<[u8]>),
    /// `length` bytes of the host's file at `path` from `offset`; from 0, the whole file.
    Host {
        path: Arc<PathBuf>,
        offset: u64,
        length: u64,
    },
}

impl Content {
    pub fn host(path: PathBuf, length: u64) -> Self {
        Self::Host { path: Arc::new(path), offset: 0, length }
    }

    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Host { length, .. } => *length,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A reader of exactly [`Content::len`] bytes, unless the host's file has shrunk.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Bytes(bytes) => Ok(Box::new(Cursor::new(Arc::clone(bytes)))),
            Self::Host { path, offset, length } => {
                let mut file = File::open(path.as_path())?;
                if *offset > 0 {
                    file.seek(SeekFrom::Start(*offset))?;
                }
                Ok(Box::new(file.take(*length)))
            }
        }
    }

    /// How many bytes there are by now: not [`Content::len`] where the host's
    /// file has shrunk or, when it is taken whole, grown.
    pub fn current_len(&self) -> io::Result<u64> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
            Self::Host { path, offset, length } => {
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
