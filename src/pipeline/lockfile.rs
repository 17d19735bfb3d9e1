//! The lock file: which one a build uses, and how it is read, updated and written.

use super::BuildError;
use crate::packages::archive::file_hash::FileHash;
use crate::packages::archive::index::Index;
use crate::packages::lock::{Changes, Ids};
use crate::packages::{Lock, LockedPackage};
use crate::util::atomic_file;
use crate::util::file_error::FileError;
use appliance_contract::nearest::nearest;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The lock that a build uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockChoice {
    /// This file, unchanged.
    Exactly(PathBuf),
    /// The profile's own (`profiles/NAME.lock`). It is made if it is missing, and updated if it does not match the
    /// profile.
    Own {
        /// The lock's file.
        path: PathBuf,
        /// Which packages are updated.
        update: Update,
    },
}

/// Which packages get new versions from the archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// Only what the profile needs and the lock lacks.
    Needed,
    /// Also these packages and their dependencies.
    Packages(Vec<String>),
    /// Every package.
    All,
}

/// Whether the build changed the profile's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockOutcome {
    /// It existed and is complete.
    Unchanged,
    /// It did not exist.
    Made,
    /// It was updated, with these differences.
    Changed(Changes),
}

impl LockChoice {
    /// The lock's file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Exactly(path) | Self::Own { path, .. } => path,
        }
    }
}

pub(super) fn read(path: &Path) -> Result<Option<Lock>, BuildError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(BuildError::from(FileError::new("reading the lock", path.to_owned(), source)));
        }
    };
    let lock = Lock::parse(&text).map_err(|source| BuildError::Lock { path: path.to_owned(), source })?;
    Ok(Some(lock))
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), BuildError> {
    atomic_file::write_atomic(path, |file| file.write_all(text.as_bytes()))
        .map_err(|source| BuildError::from(FileError::new("writing the lock", path.to_owned(), source)))
}

/// The ids in the other locks of the directory, so that all images of a fleet use the same ids. Files that cannot be
/// parsed are ignored.
pub(super) fn ids_of_others(own: &Path) -> Ids {
    let folder = own.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension().is_some_and(|extension| extension == "lock") && path.file_name() != own.file_name()
        })
        .collect();
    paths.sort();
    let mut ids = Ids::default();
    for lock in paths.iter().filter_map(|path| read(path).ok().flatten()) {
        add_ids(&mut ids, &lock);
    }
    ids
}

fn add_ids(ids: &mut Ids, lock: &Lock) {
    ids.add(&lock.ids);
    lock.guests.iter().for_each(|guest| add_ids(ids, guest));
}

/// The lock of a guest, which is part of the host's lock.
pub(super) fn of_guest<'a>(lock: &'a Lock, name: &str) -> Option<&'a Lock> {
    lock.guests.iter().find(|guest| guest.profile == name)
}

/// Refuses names of packages that are neither in the lock nor in that of a guest in it.
pub(super) fn check_names(lock: &Lock, names: &[String]) -> Result<(), BuildError> {
    let mut known = BTreeSet::new();
    for lock in std::iter::once(lock).chain(&lock.guests) {
        known.extend(lock.packages.iter().chain(&lock.tools).map(|package| package.name.as_str()));
    }
    match names.iter().find(|name| !known.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let known: Vec<&str> = known.into_iter().collect();
            let nearest = nearest(name, &known).map(str::to_owned);
            Err(BuildError::NotLocked { name: name.clone(), nearest })
        }
    }
}

/// The versions of an old lock that stay as they are: name to version, of the image and of the tools.
#[derive(Debug, Clone, Default)]
pub(super) struct LockedVersions {
    pub packages: BTreeMap<String, String>,
    pub tools: BTreeMap<String, String>,
}

impl LockedVersions {
    pub fn new(old: &Lock, update: &Update) -> Self {
        let moving: BTreeSet<&str> = match update {
            Update::All => return Self::default(),
            Update::Needed => BTreeSet::new(),
            Update::Packages(names) => names.iter().map(String::as_str).collect(),
        };
        let kept = |list: &[LockedPackage]| {
            let staying = list.iter().filter(|package| !moving.contains(package.name.as_str()));
            staying.map(|package| (package.name.clone(), package.version.clone())).collect()
        };
        Self { packages: kept(&old.packages), tools: kept(&old.tools) }
    }

    /// The packages of `old` that stay, but that no index offers with the same SHA-256.
    pub fn missing(&self, old: &Lock, index: &Index<'_>) -> Vec<LockedPackage> {
        let stays = |kept: &BTreeMap<String, String>, package: &&LockedPackage| kept.contains_key(&package.name);
        let packages = old.packages.iter().filter(|package| stays(&self.packages, package));
        let tools = old.tools.iter().filter(|package| stays(&self.tools, package));
        let mut missing: Vec<LockedPackage> = packages
            .chain(tools)
            .filter(|package| {
                let records = index.versions(&package.name).iter().map(|id| index.record(*id));
                !records.into_iter().any(|record| record.hash == FileHash::Sha256(package.sha256))
            })
            .cloned()
            .collect();
        missing.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        missing.dedup();
        missing
    }
}
