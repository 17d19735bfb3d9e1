//! The stage that configures: from package files to a root with all packages configured, and a complete lock.

use super::guest::GuestImage;
use super::lockfile::{self, LockChoice};
use super::speculate::{Speculation, SpeculativeThreads};
use super::{BuildError, Fetched, LockOutcome, Resolved};
use crate::output::catalog::Catalog;
use crate::packages::Ids;
use crate::packages::lock::Changes;
use crate::progress::Progress;
use crate::rootfs::{self, Files, Request, WorkFolder};
use std::collections::BTreeSet;

/// A configured root. Its lock says all that there is to say, and stands in its file.
#[derive(Debug)]
pub struct Configured {
    pub(super) resolved: Resolved,
    pub(super) files: Files,
    /// What is made of the root meanwhile. It reads files of the root's work folder, so it is the first to go.
    pub(super) ahead: SpeculativeThreads,
    pub(super) root: rootfs::Configured,
    pub(super) outcome: LockOutcome,
    pub(super) guests: Vec<ConfiguredGuest>,
}

/// A guest of the host's image.
#[derive(Debug)]
pub(super) enum ConfiguredGuest {
    /// The same inputs gave it before.
    Made(Box<GuestImage>),
    Root(Box<Configured>),
}

impl Fetched {
    /// Unpacks and configures the packages, or takes the root from the cache.
    pub fn configure(self, progress: &dyn Progress) -> Result<Configured, BuildError> {
        let mut others = match &self.resolved.request.lock {
            LockChoice::Exactly(_) => Ids::default(),
            LockChoice::Own { path, .. } => lockfile::ids_of_others(path),
        };
        let mut configured = self.configure_beside(&mut others, progress)?;
        configured.outcome = configured.resolved.write_lock()?;
        Ok(configured)
    }

    /// With ids beside those of `others`, which gets these.
    fn configure_beside(mut self, others: &mut Ids, progress: &dyn Progress) -> Result<Configured, BuildError> {
        let guests = std::mem::take(&mut self.guests);
        let Self { mut resolved, files, .. } = self;
        progress.image(&resolved.request.profile.name);
        let catalog = Catalog::open(&resolved.request.output)?;
        let trees = resolved.request.trees();
        // One that is kept already is taken without a work folder there.
        WorkFolder::clean(&trees);
        let work = WorkFolder::new(&catalog.work())?.keeping_trees(trees.clone());
        let ahead = Speculation::new(&resolved, &files, &trees);
        let request =
            Request { profile: &resolved.request.profile, lock: &resolved.lock, files: &files, others, ahead: &ahead };
        let root = rootfs::configure(&request, work, progress)?;
        let ahead = ahead.finish();
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
        Ok(Configured { resolved, files, root, ahead, outcome: LockOutcome::Unchanged, guests: roots })
    }

    /// Configures nothing where the same inputs gave the guest's image before, and
    /// it is whole: each image of a host would else cost those of all its guests.
    fn configure_guest(self, others: &mut Ids, progress: &dyn Progress) -> Result<ConfiguredGuest, BuildError> {
        if let Some(image) = self.resolved.existing_guest()? {
            others.add(&self.resolved.lock.ids);
            return Ok(ConfiguredGuest::Made(Box::new(image)));
        }
        Ok(ConfiguredGuest::Root(Box::new(self.configure_beside(others, progress)?)))
    }
}

impl Resolved {
    /// Completes the lock with the ids that were found.
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
        let outcome = match &self.before {
            Some(before) if *before == self.lock => return Ok(LockOutcome::Unchanged),
            Some(before) => LockOutcome::Changed(Changes::between(before, &self.lock)),
            None => LockOutcome::Made,
        };
        lockfile::write(path, &self.lock_text)?;
        Ok(outcome)
    }
}

impl Configured {
    /// What became of the profile's lock.
    pub fn outcome(&self) -> &LockOutcome {
        &self.outcome
    }
}
