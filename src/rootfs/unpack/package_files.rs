//! The files of a lock's packages, fetched when they are first needed.

use crate::cache::Unpacked;
use crate::packages::{FetchError, LockedPackage};
use crate::progress::Progress;
use crate::rootfs::error::AssembleError;
use appliance_contract::Sha256;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

type Packages = BTreeMap<Sha256, PathBuf>;
type Fetch = dyn Fn(&dyn Progress) -> Result<Packages, FetchError> + Send + Sync;

/// The verified package files, by their SHA-256.
pub struct Files {
    packages: OnceLock<Packages>,
    fetch: Box<Fetch>,
    unpacked: Option<Unpacked>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("packages", &self.packages)
            .field("unpacked", &self.unpacked)
            .finish_non_exhaustive()
    }
}

impl FromIterator<(Sha256, PathBuf)> for Files {
    fn from_iter<I: IntoIterator<Item = (Sha256, PathBuf)>>(packages: I) -> Self {
        let packages: Packages = packages.into_iter().collect();
        Self::later(move |_| Ok(packages.clone()))
    }
}

impl Files {
    /// Packages that `fetch` fetches and verifies, if anybody needs them.
    pub fn later(fetch: impl Fn(&dyn Progress) -> Result<Packages, FetchError> + Send + Sync + 'static) -> Self {
        Self { packages: OnceLock::new(), fetch: Box::new(fetch), unpacked: None }
    }

    /// Has what is decompressed of them kept in `unpacked`.
    pub fn keeping(self, unpacked: Unpacked) -> Self {
        Self { unpacked: Some(unpacked), ..self }
    }

    /// Has them all here; to be called before any is asked for.
    pub fn fetch(&self, progress: &dyn Progress) -> Result<(), FetchError> {
        if self.packages.get().is_none() {
            let _ = self.packages.set((self.fetch)(progress)?);
        }
        Ok(())
    }

    /// The file of a package, which must have been fetched.
    pub fn of(&self, locked: &LockedPackage) -> Result<&Path, AssembleError> {
        self.packages
            .get()
            .and_then(|packages| packages.get(&locked.sha256))
            .map(PathBuf::as_path)
            .ok_or_else(|| AssembleError::NotFetched { name: locked.name.clone(), version: locked.version.clone() })
    }

    /// Where decompressed packages are kept; `None` where none are.
    pub fn unpacked(&self) -> Option<&Unpacked> {
        self.unpacked.as_ref()
    }
}
