//! The request for a build.

use super::BuildError;
use super::lockfile::LockChoice;
use crate::cache::{Bucket, Cache};
use crate::output::catalog::Catalog;
use crate::output::{GuestDirectory, Output};
use crate::packages::{Archives, Client, Keyring};
use crate::profile::Profile;
use crate::rootfs;
use crate::templates;
use std::path::PathBuf;
use std::sync::Arc;

/// The request for a build, with everything that the build needs from outside.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The image's definition.
    pub profile: Profile,
    /// The kind of output.
    pub kind: &'static dyn Output,
    /// The mirrors of the archives.
    pub archives: Archives,
    /// The keys that may sign Release files.
    pub keyring: Keyring,
    /// The cache of fetched files and build results.
    pub cache: Cache,
    /// Reads `http:`, `https:` and `file:` URLs.
    pub client: Arc<Client>,
    /// Which lock is used, and whether it may change.
    pub lock: LockChoice,
    /// Whether a suite's Release file may be older than the lock's or than one seen before.
    pub allow_older: bool,
    /// Seconds since 1970, to judge the age of Release files.
    pub now: i64,
    /// `SOURCE_DATE_EPOCH`, for a profile without the key.
    pub source_date_epoch: Option<i64>,
    /// The user's own templates.
    pub templates: Option<PathBuf>,
    /// The directory of images.
    pub output: PathBuf,
    /// Whether an image of the same version may be overwritten.
    pub replace: bool,
}

impl BuildRequest {
    /// Detects errors that a build would otherwise report only after minutes of downloads.
    pub(super) fn check(&self) -> Result<(), BuildError> {
        Catalog::open(&self.output)?.check()?;
        if let Some(folder) = &self.templates {
            templates::check(folder)?;
        }
        for set in &self.profile.sets {
            rootfs::open_set(set)?;
        }
        Ok(())
    }

    /// The directory of the root cache.
    pub(super) fn trees(&self) -> PathBuf {
        self.cache.bucket(Bucket::Trees)
    }

    /// The request for a guest image that this image includes.
    pub(super) fn of_guest(&self, guest: &Profile) -> Self {
        Self { profile: guest.clone(), kind: &GuestDirectory, ..self.clone() }
    }
}
