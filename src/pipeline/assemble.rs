//! The stage that assembles: from a configured root to the image's tree.

use super::configure::ConfiguredGuest;
use super::guest::GuestImage;
use super::speculate::SpeculativeThreads;
use super::{BuildError, Configured, LockOutcome, Resolved, input_hash};
use crate::embedded;
use crate::output::Image;
use crate::output::catalog::{Catalog, ImageName};
use crate::progress::Progress;
use crate::rootfs::{self, Files, WorkFolder};
use crate::tree::Tree;
use appliance_contract::manifest::Manifest;

/// The whole image in a tree, and the name that it will have.
#[derive(Debug)]
pub struct Assembled {
    pub(super) resolved: Resolved,
    pub(super) outcome: LockOutcome,
    pub(super) catalog: Catalog,
    pub(super) name: ImageName,
    pub(super) manifest: Manifest,
    pub(super) tree: Tree,
    /// What is made of it already.
    pub(super) ahead: SpeculativeThreads,
    /// The lock's packages, its tools among them.
    pub(super) files: Files,
    /// Holds what the tree names.
    pub(super) work: WorkFolder,
    pub(super) guests: Vec<GuestImage>,
}

/// The name that an image will have, and where.
#[derive(Debug)]
pub(super) struct Place {
    pub catalog: Catalog,
    pub name: ImageName,
}

impl Resolved {
    pub(super) fn place(&self, guests: &[GuestImage]) -> Result<Place, BuildError> {
        let request = &self.request;
        let catalog = Catalog::open(&request.output)?;
        let inputs = input_hash::digest(self, guests)?;
        let profile = &request.profile;
        // The build number is in the image, so it must be known first.
        let name = catalog.name(request.kind.shape(), &profile.name, &profile.version, inputs, request.replace)?;
        Ok(Place { catalog, name })
    }
}

impl Configured {
    /// Lays the profile's files over the root and makes the tree of the image.
    pub fn assemble(mut self, progress: &dyn Progress) -> Result<Assembled, BuildError> {
        let guests = std::mem::take(&mut self.guests).into_iter().map(|guest| match guest {
            ConfiguredGuest::Made(image) => Ok(*image),
            ConfiguredGuest::Root(guest) => guest.guest_image(progress),
        });
        let guests = guests.collect::<Result<Vec<_>, BuildError>>()?;
        let Self { resolved, files, root, ahead, outcome, .. } = self;
        progress.image(&resolved.request.profile.name);
        let Place { catalog, name } = resolved.place(&guests)?;
        let rootfs::Assembled { tree, manifest, work, .. } =
            root.assemble(&resolved.request.profile, &resolved.lock, &name.version)?;
        Ok(Assembled { resolved, outcome, catalog, name, manifest, tree, ahead, files, work, guests })
    }
}

impl Assembled {
    /// What is laid out.
    pub(super) fn image(&self) -> Image<'_> {
        let Self { resolved, name, tree, manifest, .. } = self;
        Image {
            profile: &resolved.request.profile,
            version: &name.version,
            lock: &resolved.lock,
            lock_sha256: resolved.lock_sha256,
            source_date: resolved.source_date,
            tree,
            agent: resolved.request.profile.agent.then_some(embedded::AGENT),
            manifest,
            initramfs: None,
        }
    }
}
