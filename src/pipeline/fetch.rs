use super::{BuildError, Resolved};
use crate::assemble::Files;
use crate::packages::{LockedPackage, download};
use crate::progress::Progress;
use crate::store::Unpacked;

/// A locked profile whose packages are all here, verified.
#[derive(Debug)]
pub struct Fetched {
    pub(super) resolved: Resolved,
    pub(super) files: Files,
    pub(super) guests: Vec<Fetched>,
}

impl Resolved {
    pub fn fetch(mut self, progress: &dyn Progress) -> Result<Fetched, BuildError> {
        let guests = std::mem::take(&mut self.guests);
        let order = &self.order;
        progress.image(&order.profile.name);
        let packages: Vec<LockedPackage> = self.lock.packages.iter().chain(&self.lock.tools).cloned().collect();
        let paths = download(&packages, &order.archives, &order.cache, &order.client, progress)?;
        let hashes = packages.into_iter().map(|package| package.sha256);
        let files = hashes.zip(paths).collect::<Files>().keeping(Unpacked::new(order.cache.folder()));
        let guests = guests.into_iter().map(|guest| guest.fetch(progress)).collect::<Result<_, _>>()?;
        Ok(Fetched { resolved: self, files, guests })
    }
}
