//! Finds the image that an earlier build made from the same inputs, so that nothing is built.

use super::guest::GuestImage;
use super::{BuildError, Built, LockOutcome, Resolved};
use crate::output::catalog::{Catalog, ExistingImage, ImageName};
use crate::progress::Progress;
use crate::rootfs::WorkFolder;
use crate::util::file_error::At as _;
use appliance_contract::manifest::Manifest;
use appliance_contract::{guest_image, medium};
use std::fs;

impl Resolved {
    /// The existing image, verified by its checksums, with the name that it has.
    pub(super) fn find_existing_image(
        &self,
        guests: &[GuestImage],
    ) -> Result<Option<(ImageName, ExistingImage)>, BuildError> {
        if self.request.replace || !self.whole {
            return Ok(None);
        }
        let place = self.place(guests)?;
        Ok(place.catalog.find_existing(&place.name)?.map(|existing| (place.name, existing)))
    }

    /// The result of a build that has nothing to do.
    pub(super) fn find_existing(&self, progress: &dyn Progress) -> Result<Option<Built>, BuildError> {
        let mut guests = Vec::new();
        for guest in &self.guests {
            let Some(image) = guest.existing_guest()? else { return Ok(None) };
            guests.push(image);
        }
        let Some((name, existing)) = self.find_existing_image(&guests)? else { return Ok(None) };
        // Nothing else cleans up after a build that was killed when its image stood.
        WorkFolder::clean(&Catalog::open(&self.request.output)?.work());
        WorkFolder::clean(&self.request.trees());
        let path = existing.manifest;
        let text = fs::read(&path).at("reading", &path)?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|source| BuildError::Manifest { path, source })?;
        let size = |path: &str| manifest.files.iter().find(|file| file.path == path).map(|file| file.size);
        progress.reused("the image");
        Ok(Some(Built {
            path: existing.path,
            name,
            was_there: true,
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
