//! SHA-256 of packages whose archive lists none: locks and the cache know files by it alone. The file is fetched once,
//! checked by the SHA-512 that the archive signed, and kept.

use super::{failed_as, full_name_of};
use crate::packages::archives::Archives;
use crate::packages::cache::{Cache, CacheError, Kind};
use crate::packages::digest::{Digest, Digest512, FileHash};
use crate::packages::error::{FetchError, PackageError};
use crate::packages::http::{Client, HttpError};
use crate::packages::index::Record;
use crate::packages::transfer::{Sink, Size, Stop};
use crate::progress::Progress;
use sha2::{Digest as _, Sha256, Sha512};
use std::io::{Seek, Write};
use tempfile::NamedTempFile;

/// The SHA-256 of the record's file.
pub fn sha256_of(
    record: &Record<'_>,
    archives: &Archives,
    cache: &Cache,
    client: &Client,
    progress: &dyn Progress,
) -> Result<Digest, FetchError> {
    match record.hash {
        FileHash::Sha256(digest) => Ok(digest),
        FileHash::Sha512(expected) => {
            progress.item(record.name);
            learn(record, expected, archives, cache, client)
                .map_err(|source| failed_as(full_name_of(record.name, record.version.as_str()), source))
        }
    }
}

fn learn(
    record: &Record<'_>,
    expected: Digest512,
    archives: &Archives,
    cache: &Cache,
    client: &Client,
) -> Result<Digest, PackageError> {
    let url = archives.base(record.archive)?.join(record.path)?;
    let failed = |source| CacheError::Io { path: cache.folder().to_owned(), action: "making a file in", source };
    std::fs::create_dir_all(cache.folder()).map_err(failed)?;
    let file = NamedTempFile::new_in(cache.folder()).map_err(failed)?;
    let mut sink = Hashed { file, sha256: Sha256::new(), sha512: Sha512::new(), position: 0 };
    client.fetch(&url, &mut sink, Size::Exactly(record.size), &Stop::default())?;
    let found = Digest512::from(<[u8; 64]>::from(sink.sha512.finalize()));
    if found != expected {
        return Err(PackageError::Sha512 { url, expected: expected.to_string(), found: found.to_string() });
    }
    let sha256 = Digest::from(<[u8; 32]>::from(sink.sha256.finalize()));
    let path = cache.path(Kind::Package, sha256);
    let failed = |source| CacheError::Io { path: path.clone(), action: "writing", source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    sink.file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(sha256)
}

/// A file with both of its hashes.
struct Hashed {
    file: NamedTempFile,
    sha256: Sha256,
    sha512: Sha512,
    position: u64,
}

impl Hashed {
    fn failed(&self, source: std::io::Error) -> HttpError {
        HttpError::Write { path: self.file.path().to_owned(), source }
    }
}

impl Sink for Hashed {
    fn position(&self) -> u64 {
        self.position
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), HttpError> {
        self.file.write_all(bytes).map_err(|source| self.failed(source))?;
        self.sha256.update(bytes);
        self.sha512.update(bytes);
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), HttpError> {
        let file = self.file.as_file_mut();
        file.set_len(0).and_then(|()| file.rewind()).map_err(|source| self.failed(source))?;
        (self.sha256, self.sha512, self.position) = (Sha256::new(), Sha512::new(), 0);
        Ok(())
    }
}
