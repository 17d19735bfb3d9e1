//! The stage that configures: from package files to a root with all packages configured, and a complete lock.

use super::guest::GuestImage;
use super::lockfile::{self, LockChoice};
use super::speculate::{Speculation, SpeculativeThreads};
use super::{BuildError, Fetched, LockOutcome, Resolved};
use crate::output::catalog::Catalog;
use crate::packages::Ids;
use crate::packages::lock::Changes;
use crate::progress::Progress;
use crate::rootfs::{self, Files, Request, WorkDir};
use std::collections::BTreeSet;

/// A configured root. Its lock is complete and written to its file.
#[derive(Debug)]
pub struct Configured {
    pub(super) resolved: Resolved,
    pub(super) files: Files,
    /// Speculative work on the root. Its threads read files of the root's work directory, so it is dropped first.
    pub(super) speculative: SpeculativeThreads,
    pub(super) root: rootfs::Configured,
    pub(super) outcome: LockOutcome,
    pub(super) guests: Vec<ConfiguredGuest>,
}

/// A guest that the host's image includes.
#[derive(Debug)]
pub(super) enum ConfiguredGuest {
    /// An earlier build made the image from the same inputs.
    Existing(Box<GuestImage>),
    Root(Box<Configured>),
}

impl Fetched {
    /// Unpacks and configures the packages, or takes the root from the cache.
    pub fn configure(self, progress: &dyn Progress) -> Result<Configured, BuildError> {
        let mut others = match &self.resolved.request.lock {
            LockChoice::Exactly(_) => Ids::default(),
            LockChoice::Own { path, .. } => lockfile::ids_of_others(path),
        };
        let mut configured = self.configure_with_ids(&mut others, progress)?;
        configured.outcome = configured.resolved.write_lock()?;
        Ok(configured)
    }

    /// Assigns ids that do not collide with `others`, and adds them to `others`.
    fn configure_with_ids(mut self, others: &mut Ids, progress: &dyn Progress) -> Result<Configured, BuildError> {
        let guests = std::mem::take(&mut self.guests);
        let Self { mut resolved, files, .. } = self;
        progress.image(&resolved.request.profile.name);
        let catalog = Catalog::open(&resolved.request.output)?;
        let trees = resolved.request.trees();
        // A new work directory removes those of killed builds, but a cache hit makes none in the root cache.
        WorkDir::clean(&trees);
        let work = WorkDir::new(&catalog.work())?.with_root_cache(trees.clone());
        let speculation = Speculation::new(&resolved, &files, &trees);
        let request = Request {
            profile: &resolved.request.profile,
            lock: &resolved.lock,
            files: &files,
            others,
            hooks: &speculation,
        };
        let root = rootfs::configure(&request, work, progress)?;
        let speculative = speculation.finish();
        resolved.take_ids(&root.ids)?;
        others.add(&resolved.lock.ids);
        let mut roots = Vec::new();
        for (position, guest) in guests.into_iter().enumerate() {
            let guest = guest.configure_guest(others, progress)?;
            if let ConfiguredGuest::Root(guest) = &guest {
                resolved.lock.guests[position] = guest.resolved.lock.clone();
            }
            roots.push(guest);
        }
        resolved.render()?;
        Ok(Configured { resolved, files, root, speculative, outcome: LockOutcome::Unchanged, guests: roots })
    }

    /// Configures nothing if an earlier build made the guest's image from the same inputs and it is intact. Otherwise
    /// each build of a host would rebuild all its guests.
    fn configure_guest(self, others: &mut Ids, progress: &dyn Progress) -> Result<ConfiguredGuest, BuildError> {
        if let Some(image) = self.resolved.existing_guest()? {
            others.add(&self.resolved.lock.ids);
            return Ok(ConfiguredGuest::Existing(Box::new(image)));
        }
        Ok(ConfiguredGuest::Root(Box::new(self.configure_with_ids(others, progress)?)))
    }
}

impl Resolved {
    /// Completes the lock with the ids in the configured root.
    fn take_ids(&mut self, ids: &Ids) -> Result<(), BuildError> {
        if self.lock.ids == *ids {
            return Ok(());
        }
        if let LockChoice::Exactly(path) = &self.request.lock {
            let known = &self.lock.ids;
            let users = ids.users.keys().filter(|name| !known.users.contains_key(*name));
            let groups = ids.groups.keys().filter(|name| !known.groups.contains_key(*name));
            let names: BTreeSet<String> = users.chain(groups).cloned().collect();
            let (path, profile) = (path.clone(), self.request.profile.name.clone());
            return Err(BuildError::NoIds { path, names: names.into_iter().collect(), profile });
        }
        self.lock.ids = ids.clone();
        Ok(())
    }

    fn write_lock(&self) -> Result<LockOutcome, BuildError> {
        let LockChoice::Own { path, .. } = &self.request.lock else { return Ok(LockOutcome::Unchanged) };
        let outcome = match &self.previous_lock {
            Some(before) if *before == self.lock => return Ok(LockOutcome::Unchanged),
            Some(before) => LockOutcome::Changed(Changes::between(before, &self.lock)),
            None => LockOutcome::Made,
        };
        lockfile::write(path, &self.lock_text)?;
        Ok(outcome)
    }
}

impl Configured {
    /// Whether the build changed the profile's lock.
    pub fn outcome(&self) -> &LockOutcome {
        &self.outcome
    }
}
