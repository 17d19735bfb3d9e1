//! What a build is asked for.

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

/// What a build is asked for, with all that it needs from outside.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The image's definition.
    pub profile: Profile,
    /// What is made of the profile.
    pub kind: &'static dyn Output,
    /// Where the archives' mirrors are.
    pub archives: Archives,
    /// The keys that may sign Release files.
    pub keyring: Keyring,
    /// What was fetched before.
    pub cache: Cache,
    /// Reads `http:`, `https:` and `file:` URLs.
    pub client: Arc<Client>,
    /// Which lock counts, and whether it may change.
    pub lock: LockChoice,
    /// Whether a suite's Release file may be older than the lock's, or than one seen before.
    pub allow_older: bool,
    /// Seconds since 1970, for the age of what the archives say.
    pub now: i64,
    /// `SOURCE_DATE_EPOCH`, for a profile that says none.
    pub source_date_epoch: Option<i64>,
    /// The user's own templates.
    pub templates: Option<PathBuf>,
    /// Where images go.
    pub output: PathBuf,
    /// Whether an image of the same version may be overwritten.
    pub replace: bool,
}

impl BuildRequest {
    /// Refuses what would else be noticed only after minutes of downloads.
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

    /// Where configured trees are kept.
    pub(super) fn trees(&self) -> PathBuf {
        self.cache.bucket(Bucket::Trees)
    }

    /// The request for a guest image that this one's image holds.
    pub(super) fn of_guest(&self, guest: &Profile) -> Self {
        Self { profile: guest.clone(), kind: &GuestDirectory, ..self.clone() }
    }
}
