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
        Self::lazy(move |_| Ok(packages.clone()))
    }
}

impl Files {
    /// Package files that `fetch` fetches and verifies when they are first needed.
    pub fn lazy(fetch: impl Fn(&dyn Progress) -> Result<Packages, FetchError> + Send + Sync + 'static) -> Self {
        Self { packages: OnceLock::new(), fetch: Box::new(fetch), unpacked: None }
    }

    /// Caches decompressed packages in `unpacked`.
    pub fn with_cache(self, unpacked: Unpacked) -> Self {
        Self { unpacked: Some(unpacked), ..self }
    }

    /// Fetches all files; must be called before [`Self::path_of`].
    pub fn fetch(&self, progress: &dyn Progress) -> Result<(), FetchError> {
        if self.packages.get().is_none() {
            let _ = self.packages.set((self.fetch)(progress)?);
        }
        Ok(())
    }

    /// The file of a package. Fails if it was not fetched.
    pub fn path_of(&self, locked: &LockedPackage) -> Result<&Path, AssembleError> {
        self.packages
            .get()
            .and_then(|packages| packages.get(&locked.sha256))
            .map(PathBuf::as_path)
            .ok_or_else(|| AssembleError::NotFetched { name: locked.name.clone(), version: locked.version.clone() })
    }

    /// The cache of decompressed packages, if there is one.
    pub fn unpacked_cache(&self) -> Option<&Unpacked> {
        self.unpacked.as_ref()
    }
}
