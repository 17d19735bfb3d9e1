//! A directory that stores the packages of locks, for when mirrors no longer have them. It is also an archive that apt
//! accepts as a `file:` source (`deb [trusted=yes] file:DIR ./`).

use super::locations::{ArchiveError, Archives, DEBIAN, SECURITY};
use crate::cache::Cache;
use crate::packages::deb::{Deb, DebError};
use crate::packages::error::FetchError;
use crate::packages::fetch::download::download;
use crate::packages::fetch::http::Client;
use crate::packages::lock::{Lock, LockError, LockedPackage};
use crate::progress::{Progress, Stage, Unit};
use crate::util::atomic_file;
use crate::util::file_error::{At as _, FileError};
use crate::util::sha256;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// The subdirectory of the locks, each under its own name.
const LOCKS: &str = "locks";
/// The subdirectory of archives other than Debian's, with a directory for each.
const OTHERS: &str = "archives";
const PACKAGES: &str = "Packages";
const RELEASE: &str = "Release";

/// Why packages cannot be exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A package cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The location of an archive is unknown.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A package's file cannot be read.
    #[error(transparent)]
    Deb(#[from] DebError),
    /// Reading or writing a file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A lock cannot be parsed.
    #[error("reading the lock {}", path.display())]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// The parser's error.
        source: LockError,
    },
    /// Two different packages of the locks have the same path.
    #[error(
        "{} and another package of the locks have the path {path} and are not the same; export their locks into a folder each",
        name
    )]
    SamePath {
        /// One of the packages.
        name: String,
        /// The path in the archive.
        path: String,
    },
    /// The directory has no lock.
    #[error("{} holds no lock, expected {LOCKS}/NAME.lock as `applbuild archive export` writes it", path.display())]
    NoLocks {
        /// The directory.
        path: PathBuf,
    },
}

/// The contents of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stock {
    /// The locks' files.
    pub locks: Vec<PathBuf>,
    /// How many packages they name, each counted once.
    pub packages: usize,
    /// Bytes of all package files.
    pub bytes: u64,
}

/// Where packages come from.
#[derive(Debug, Clone, Copy)]
pub struct Supply<'a> {
    /// Where the archives are.
    pub archives: &'a Archives,
    /// Has the packages that were fetched before.
    pub cache: &'a Cache,
    /// Fetches the others.
    pub client: &'a Client,
}

fn failed<'p>(attempt: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> FolderError + use<'p> {
    move |source| FolderError::from(FileError::new(attempt, path.to_owned(), source))
}

fn read_lock(path: &Path) -> Result<(String, Lock), FolderError> {
    let text = fs::read_to_string(path).at("reading the lock", path)?;
    let lock = Lock::parse(&text).map_err(|source| FolderError::Lock { path: path.to_owned(), source })?;
    Ok((text, lock))
}

/// The directory of an archive's packages, relative to the exported directory. The paths of Debian's archives do not
/// collide, so these archives share one. Any other archive may use any path, and has its own directory.
fn directory_of(archive: &str) -> PathBuf {
    match archive {
        DEBIAN | SECURITY => PathBuf::new(),
        other => Path::new(OTHERS).join(other),
    }
}

fn place_of(package: &LockedPackage) -> PathBuf {
    directory_of(&package.archive).join(&package.path)
}

/// The packages of the locks and of the guests in them, without duplicates, sorted by path.
fn packages_of<'l>(locks: impl IntoIterator<Item = &'l Lock>) -> Result<Vec<LockedPackage>, FolderError> {
    let mut by_path: BTreeMap<PathBuf, &LockedPackage> = BTreeMap::new();
    let mut left: Vec<&Lock> = locks.into_iter().collect();
    while let Some(lock) = left.pop() {
        left.extend(&lock.guests);
        for package in lock.packages.iter().chain(&lock.tools) {
            let before = by_path.insert(place_of(package), package);
            if before.is_some_and(|before| before.sha256 != package.sha256) {
                let (name, path) = (package.name.clone(), package.path.clone());
                return Err(FolderError::SamePath { name, path });
            }
        }
    }
    Ok(by_path.into_values().cloned().collect())
}

/// Writes every package of `locks` to `folder`. Packages of earlier exports stay listed. The same locks give the same
/// bytes.
pub fn export(
    folder: &Path,
    locks: &[PathBuf],
    from: Supply<'_>,
    progress: &dyn Progress,
) -> Result<Stock, FolderError> {
    let mut all: BTreeMap<PathBuf, (String, Lock)> = BTreeMap::new();
    for path in kept(folder)?.iter().chain(locks) {
        let name = PathBuf::from(path.file_name().unwrap_or_default());
        all.insert(folder.join(LOCKS).join(name), read_lock(path)?);
    }
    let packages = packages_of(all.values().map(|(_, lock)| lock))?;
    let files = download(&packages, from.archives, from.cache, from.client, progress)?;
    progress.stage(Stage::Export, packages.len() as u64, Unit::Packages);
    let mut index = String::new();
    for (package, file) in packages.iter().zip(&files) {
        let place = place_of(package);
        put(&folder.join(&place), |out| io::copy(&mut File::open(file)?, out).map(drop))?;
        // For apt, the whole directory is one archive.
        let listed = LockedPackage { path: place.to_string_lossy().into_owned(), ..package.clone() };
        index.push_str(&Deb::open(file)?.paragraph(&listed)?);
        progress.advance(1);
    }
    put(&folder.join(PACKAGES), |out| out.write_all(index.as_bytes()))?;
    let date = all.values().map(|(_, lock)| lock.date).max().unwrap_or(0);
    let architectures: BTreeSet<&str> = all.values().map(|(_, lock)| lock.architecture.as_str()).collect();
    put(&folder.join(RELEASE), |out| out.write_all(release(&index, date, &architectures).as_bytes()))?;
    // Locks are written last: if a lock exists, so do all packages that it names.
    for (path, (text, _)) in &all {
        put(path, |out| out.write_all(text.as_bytes()))?;
    }
    let bytes = packages.iter().map(|package| package.size).sum();
    Ok(Stock { locks: all.into_keys().collect(), packages: packages.len(), bytes })
}

/// Imports all packages of the directory's locks into the cache; verifies the hash of each.
pub fn import(folder: &Path, cache: &Cache, client: &Client, progress: &dyn Progress) -> Result<Stock, FolderError> {
    let paths = kept(folder)?;
    if paths.is_empty() {
        return Err(FolderError::NoLocks { path: folder.to_owned() });
    }
    let locks = paths.iter().map(|path| Ok(read_lock(path)?.1)).collect::<Result<Vec<_>, FolderError>>()?;
    let packages = packages_of(&locks)?;
    let whole = fs::canonicalize(folder).at("reading", folder)?;
    let names: BTreeSet<&str> = packages.iter().map(|package| package.archive.as_str()).collect();
    let folder_of = |name: &str| {
        let own = whole.join(directory_of(name));
        // Older exports have the packages of all archives in one directory.
        if own.is_dir() { own } else { whole.clone() }
    };
    let archives = Archives::in_folders(names.into_iter().map(|name| (name, folder_of(name))));
    download(&packages, &archives, cache, client, progress)?;
    let bytes = packages.iter().map(|package| package.size).sum();
    Ok(Stock { locks: paths, packages: packages.len(), bytes })
}

/// The locks in the directory, sorted.
fn kept(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let place = folder.join(LOCKS);
    let list = || -> io::Result<Vec<PathBuf>> { fs::read_dir(&place)?.map(|entry| Ok(entry?.path())).collect() };
    match list() {
        Ok(mut paths) => {
            paths.retain(|path| path.extension().is_some_and(|ending| ending == "lock"));
            paths.sort();
            Ok(paths)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed("listing", &place)(error)),
    }
}

/// The Release file, in apt's repository format. Its date is that of the archives, not the current time.
fn release(index: &str, date: i64, architectures: &BTreeSet<&str>) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(date).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    // RFC 1123, in UTC: names of days and months are cut to three letters.
    let (day, month) = (moment.weekday().to_string(), moment.month().to_string());
    let date = format!(
        "{}, {:02} {} {} {:02}:{:02}:{:02} UTC",
        &day[..3],
        moment.day(),
        &month[..3],
        moment.year(),
        moment.hour(),
        moment.minute(),
        moment.second()
    );
    let architectures: Vec<&str> = architectures.iter().copied().collect();
    format!(
        "Origin: applbuild\nLabel: applbuild archive\nDate: {date}\nArchitectures: {} all\nSHA256:\n {} {} {PACKAGES}\n",
        architectures.join(" "),
        sha256::of(index),
        index.len()
    )
}

fn put(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), FolderError> {
    atomic_file::write_atomic(path, write).map_err(failed("writing", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_dated_by_the_locks() {
        let text = release("Package: a\n", 1_700_000_000, &BTreeSet::from(["amd64"]));
        assert!(text.contains("\nDate: Tue, 14 Nov 2023 22:13:20 UTC\nArchitectures: amd64 all\n"), "{text}");
        assert!(text.ends_with(" 11 Packages\n"), "{text}");
    }

    #[test]
    fn two_packages_of_one_path_are_refused() {
        let lock = |archive: &str, sha256: &str| {
            let text = format!(
                "schema = 1\nprofile = \"a\"\narchitecture = \"amd64\"\nrequest = \"\"\ndate = 0\nsuites = []\n\
                 [[packages]]\nname = \"a\"\nversion = \"1\"\narchitecture = \"all\"\nsha256 = \"{}\"\nsize = 1\n\
                 archive = \"{archive}\"\npath = \"pool/a.deb\"\n",
                sha256.repeat(64)
            );
            Lock::parse(&text).unwrap()
        };
        assert_eq!(packages_of(&[lock("debian", "a"), lock("debian", "a")]).unwrap().len(), 1);
        let twice = packages_of(&[lock("debian", "a"), lock("debian-security", "b")]);
        assert!(matches!(twice, Err(FolderError::SamePath { .. })));
        // The same path in another archive is another file.
        assert_eq!(packages_of(&[lock("debian", "a"), lock("vendor", "b")]).unwrap().len(), 2);
        assert_eq!(place_of(&lock("vendor", "b").packages[0]), Path::new("archives/vendor/pool/a.deb"));
    }
}
