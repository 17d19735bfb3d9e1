//! The stage that fetches: from a lock to verified package files.

use super::{BuildError, Resolved};
use crate::cache::Unpacked;
use crate::packages::{LockedPackage, are_here, download};
use crate::progress::Progress;
use crate::rootfs::{self, Files};
use std::time::SystemTime;

/// A locked profile whose packages are all here: verified, or with what an earlier build made of them.
#[derive(Debug)]
pub struct Fetched {
    pub(super) resolved: Resolved,
    pub(super) files: Files,
    pub(super) guests: Vec<Fetched>,
}

impl Resolved {
    /// Fetches the lock's packages, or makes sure that they will not be needed.
    pub fn fetch(mut self, progress: &dyn Progress) -> Result<Fetched, BuildError> {
        let guests = std::mem::take(&mut self.guests);
        let request = &self.request;
        progress.image(&request.profile.name);
        let packages: Vec<LockedPackage> = self.lock.packages.iter().chain(&self.lock.tools).cloned().collect();
        let are_here = are_here(&packages, &request.cache);
        let (archives, cache, client) = (request.archives.clone(), request.cache.clone(), request.client.clone());
        let files = Files::later(move |progress| {
            let paths = download(&packages, &archives, &cache, &client, progress)?;
            Ok(packages.iter().map(|package| package.sha256).zip(paths).collect())
        });
        let files = files.keeping(Unpacked::new(&request.cache));
        let with_tools = request.kind.needs_boot_loader();
        if are_here && rootfs::are_kept(&request.trees(), &self.lock, self.source_date, with_tools)? {
            request.cache.tidy(SystemTime::now());
        } else {
            files.fetch(progress)?;
        }
        let guests = guests.into_iter().map(|guest| guest.fetch(progress)).collect::<Result<_, _>>()?;
        Ok(Fetched { resolved: self, files, guests })
    }
}
