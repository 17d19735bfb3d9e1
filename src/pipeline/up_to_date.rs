//! Returns the existing image if the inputs are unchanged; nothing is built then.

use super::guest::GuestImage;
use super::{BuildError, Built, LockOutcome, Resolved};
use crate::output::catalog::{Catalog, ExistingImage, ImageName};
use crate::progress::Progress;
use crate::rootfs::WorkDir;
use crate::util::file_error::At as _;
use appliance_contract::manifest::Manifest;
use appliance_contract::{guest_image, medium};
use std::fs;

impl Resolved {
    /// The existing image, verified by its checksums, and its name.
    pub(super) fn find_existing_image(
        &self,
        guests: &[GuestImage],
    ) -> Result<Option<(ImageName, ExistingImage)>, BuildError> {
        if self.request.replace || !self.lock_unchanged {
            return Ok(None);
        }
        let destination = self.destination(guests)?;
        Ok(destination.catalog.find_existing(&destination.name)?.map(|existing| (destination.name, existing)))
    }

    /// The result of a build that has nothing to do.
    pub(super) fn find_existing(&self, progress: &dyn Progress) -> Result<Option<Built>, BuildError> {
        let mut guests = Vec::new();
        for guest in &self.guests {
            let Some(image) = guest.existing_guest()? else { return Ok(None) };
            guests.push(image);
        }
        let Some((name, existing)) = self.find_existing_image(&guests)? else { return Ok(None) };
        // No other step removes the work directory of a build that was killed after it had published its image.
        WorkDir::clean(&Catalog::open(&self.request.output)?.work());
        WorkDir::clean(&self.request.trees());
        let path = existing.manifest;
        let text = fs::read(&path).at("reading", &path)?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|source| BuildError::Manifest { path, source })?;
        let size = |path: &str| manifest.files.iter().find(|file| file.path == path).map(|file| file.size);
        progress.reused("the image");
        Ok(Some(Built {
            path: existing.path,
            name,
            unchanged: true,
            size: existing.size,
            sha256: existing.sha256,
            packages: self.lock.packages.len(),
            root_size: manifest.root.as_ref().and_then(|root| size(&root.path)),
            initramfs_size: [medium::INITRAMFS, guest_image::INITRAMFS].into_iter().find_map(size),
            content: 0,
            reused: 0,
            lock: LockOutcome::Unchanged,
        }))
    }
}
