//! Where the packages' files come from.

use super::error::AssembleError;
use crate::packages::LockedPackage;
use crate::store::Unpacked;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The verified package files, by their SHA-256 as the lock writes it.
#[derive(Debug)]
pub struct Files {
    packages: BTreeMap<String, PathBuf>,
    unpacked: Option<Unpacked>,
}

impl FromIterator<(String, PathBuf)> for Files {
    fn from_iter<I: IntoIterator<Item = (String, PathBuf)>>(packages: I) -> Self {
        Self { packages: packages.into_iter().collect(), unpacked: None }
    }
}

impl Files {
    /// Has what is decompressed of them kept in `unpacked`.
    pub fn keeping(self, unpacked: Unpacked) -> Self {
        Self { unpacked: Some(unpacked), ..self }
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
