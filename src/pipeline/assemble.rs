//! The stage that assembles: from a configured root to the image's tree.

use super::configure::ConfiguredGuest;
use super::guest::GuestImage;
use super::speculate::SpeculativeThreads;
use super::{BuildError, Configured, LockOutcome, Resolved, input_hash};
use crate::embedded;
use crate::output::Image;
use crate::output::catalog::{Catalog, ImageName};
use crate::progress::Progress;
use crate::rootfs::{self, Files, WorkDir};
use crate::tree::Tree;
use appliance_contract::manifest::Manifest;

/// The tree of the whole image, and the image's name.
#[derive(Debug)]
pub struct Assembled {
    pub(super) resolved: Resolved,
    pub(super) outcome: LockOutcome,
    pub(super) catalog: Catalog,
    pub(super) name: ImageName,
    pub(super) manifest: Manifest,
    pub(super) tree: Tree,
    /// Speculative work on the tree.
    pub(super) speculative: SpeculativeThreads,
    /// The lock's packages, including its tools.
    pub(super) files: Files,
    /// Contains the files that the tree refers to.
    pub(super) work: WorkDir,
    pub(super) guests: Vec<GuestImage>,
}

/// The catalog that an image is published in, and its name there.
#[derive(Debug)]
pub(super) struct Destination {
    pub catalog: Catalog,
    pub name: ImageName,
}

impl Resolved {
    pub(super) fn destination(&self, guests: &[GuestImage]) -> Result<Destination, BuildError> {
        let request = &self.request;
        let catalog = Catalog::open(&request.output)?;
        let inputs = input_hash::digest(self, guests)?;
        let profile = &request.profile;
        // The image contains its build number, so the number must be known first.
        let name = catalog.name(request.kind.shape(), &profile.name, &profile.version, inputs, request.replace)?;
        Ok(Destination { catalog, name })
    }
}

impl Configured {
    /// Copies the profile's files over the root and makes the tree of the image.
    pub fn assemble(mut self, progress: &dyn Progress) -> Result<Assembled, BuildError> {
        let guests = std::mem::take(&mut self.guests).into_iter().map(|guest| match guest {
            ConfiguredGuest::Existing(image) => Ok(*image),
            ConfiguredGuest::Root(guest) => guest.guest_image(progress),
        });
        let guests = guests.collect::<Result<Vec<_>, BuildError>>()?;
        let Self { resolved, files, root, speculative, outcome, .. } = self;
        progress.image(&resolved.request.profile.name);
        let Destination { catalog, name } = resolved.destination(&guests)?;
        let rootfs::Assembled { tree, manifest, work, .. } =
            root.assemble(&resolved.request.profile, &resolved.lock, &name.version)?;
        Ok(Assembled { resolved, outcome, catalog, name, manifest, tree, speculative, files, work, guests })
    }
}

impl Assembled {
    /// The image as the output writer sees it.
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
