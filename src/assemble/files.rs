//! Where the packages' files come from.

use super::error::AssembleError;
use crate::packages::LockedPackage;
use crate::store::Unpacked;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The verified package files, by their SHA-256 as the lock writes it.
#[derive(Debug, Default)]
pub struct Files {
    packages: BTreeMap<String, PathBuf>,
    unpacked: Option<Unpacked>,
}

impl Files {
    /// With what was decompressed of them kept in `unpacked`.
    pub fn keeping(packages: BTreeMap<String, PathBuf>, unpacked: Unpacked) -> Self {
        Self { packages, unpacked: Some(unpacked) }
    }

    pub fn insert(&mut self, sha256: String, path: PathBuf) {
        self.packages.insert(sha256, path);
    }

    pub fn of(&self, locked: &LockedPackage) -> Result<&Path, AssembleError> {
        self.packages
            .get(&locked.sha256)
            .map(PathBuf::as_path)
            .ok_or_else(|| AssembleError::NotFetched { name: locked.name.clone(), version: locked.version.clone() })
    }

    pub fn unpacked(&self) -> Option<&Unpacked> {
        self.unpacked.as_ref()
    }
}
