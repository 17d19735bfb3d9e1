//! The lock's file: which lock a build uses, and when it is written.

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

/// The lock that a build is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockChoice {
    /// This one, as it is.
    Exactly(PathBuf),
    /// The profile's own (`profiles/NAME.lock`): made where it is missing, brought
    /// up to date where the profile has moved past it.
    Own {
        /// The lock's file.
        path: PathBuf,
        /// What is taken anew.
        update: Update,
    },
}

/// What is taken anew from the archives, though the lock has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// What the profile asks for and the lock lacks.
    Needed,
    /// These packages besides, and what they cannot do without.
    Packages(Vec<String>),
    /// Every package.
    All,
}

/// What became of the profile's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockOutcome {
    /// It was there, and says all.
    Unchanged,
    /// There was none.
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

/// The ids that the other locks in the folder give: a fleet's images agree on them.
/// A file that is no lock says nothing here.
pub(super) fn ids_of_others(own: &Path) -> Ids {
    let folder = own.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "lock") && path.file_name() != own.file_name())
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

/// The lock of a guest that the host's image holds.
pub(super) fn of_guest<'a>(lock: &'a Lock, name: &str) -> Option<&'a Lock> {
    lock.guests.iter().find(|guest| guest.profile == name)
}

/// Refuses names of packages that neither the lock nor a guest's in it has.
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

/// The versions that stay as `old` has them: name to version, of the image and of the tools.
#[derive(Debug, Clone, Default)]
pub(super) struct KeptVersions {
    pub packages: BTreeMap<String, String>,
    pub tools: BTreeMap<String, String>,
}

impl KeptVersions {
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

    /// The packages of `old` that stay and that no index has with the same bytes.
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
