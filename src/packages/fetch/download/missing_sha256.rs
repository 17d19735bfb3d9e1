//! The SHA-256 of packages that an archive lists with SHA-512 only. Locks and the cache identify files by SHA-256, so
//! the file is fetched once, verified by its signed SHA-512, and stored in the cache.

use super::{failed_as, full_name_of};
use crate::cache::{Cache, CacheError, FileKind};
use crate::packages::archive::file_hash::{FileHash, Sha512};
use crate::packages::archive::index::Record;
use crate::packages::archive::locations::Archives;
use crate::packages::error::{FetchError, PackageError};
use crate::packages::fetch::http::{Client, HttpError};
use crate::packages::fetch::transfer::{Sink, Size, Stop};
use crate::progress::Progress;
use crate::util::file_error::{At as _, FileError};
use crate::util::sha256;
use appliance_contract::Sha256;
use sha2::Digest as _;
use std::fs;
use std::io::{Seek, Write};
use tempfile::NamedTempFile;

/// The SHA-256 of the record's file. Fetches the file if the record does not have it.
pub fn sha256_of(
    record: &Record<'_>,
    archives: &Archives,
    cache: &Cache,
    client: &Client,
    progress: &dyn Progress,
) -> Result<Sha256, FetchError> {
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
    expected: Sha512,
    archives: &Archives,
    cache: &Cache,
    client: &Client,
) -> Result<Sha256, PackageError> {
    let url = archives.base(record.archive)?.join(record.path)?;
    let failed = |source| CacheError::Io { source };
    let directory = cache.directory();
    fs::create_dir_all(directory).at("making", directory).map_err(failed)?;
    let file = NamedTempFile::new_in(directory).at("making a file in", directory).map_err(failed)?;
    let mut sink = Hashed { file, sha256: sha256::Hasher::default(), sha512: sha2::Sha512::new(), position: 0 };
    client.fetch(&url, &mut sink, Size::Exactly(record.size), &Stop::default())?;
    let found = Sha512::from(<[u8; 64]>::from(sink.sha512.finalize()));
    if found != expected {
        return Err(PackageError::Sha512 { url, expected: expected.to_string(), found: found.to_string() });
    }
    let sha256 = sink.sha256.finish();
    let path = cache.path(FileKind::Package, sha256);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).at("making", directory).map_err(failed)?;
    }
    sink.file.persist(&path).map_err(|error| error.error).at("writing", &path).map_err(failed)?;
    Ok(sha256)
}

/// Writes a temporary file and computes both of its hashes.
struct Hashed {
    file: NamedTempFile,
    sha256: sha256::Hasher,
    sha512: sha2::Sha512,
    position: u64,
}

impl Hashed {
    fn failed(&self, source: std::io::Error) -> HttpError {
        HttpError::Write { source: FileError::new("writing", self.file.path(), source) }
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
        (self.sha256, self.sha512, self.position) = (sha256::Hasher::default(), sha2::Sha512::new(), 0);
        Ok(())
    }
}
