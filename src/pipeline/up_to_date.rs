//! Nothing to do: the same inputs gave the image before.

use super::{BuildError, Built, LockOutcome, Resolved};
use crate::progress::Progress;
use crate::rootfs::WorkFolder;
use appliance_contract::manifest::Manifest;
use appliance_contract::medium;
use std::fs;

impl Resolved {
    /// The image that is there already, read through and found whole.
    pub(super) fn find_existing(&self, progress: &dyn Progress) -> Result<Option<Built>, BuildError> {
        if self.request.replace || !self.whole {
            return Ok(None);
        }
        let mut guests = Vec::new();
        for guest in &self.guests {
            let Some(image) = guest.guest_before()? else { return Ok(None) };
            guests.push(image);
        }
        let place = self.place(&guests)?;
        let Some(existing) = place.images.find_existing(&place.slot)? else { return Ok(None) };
        // Nothing else cleans up after a build that was killed when its image stood.
        WorkFolder::clean(&place.images.work());
        WorkFolder::clean(&self.request.trees());
        let path = existing.manifest;
        let text =
            fs::read(&path).map_err(|source| BuildError::Io { attempt: "reading", path: path.clone(), source })?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|source| BuildError::Manifest { path, source })?;
        let size = |path: &str| manifest.files.iter().find(|file| file.path == path).map(|file| file.size);
        progress.reused("the image");
        Ok(Some(Built {
            path: existing.path,
            version: place.slot.version,
            was_there: true,
            size: existing.size,
            sha256: existing.sha256,
            packages: self.lock.packages.len(),
            root_size: size(medium::ROOT_IMAGE),
            initramfs_size: size(medium::INITRAMFS),
            content: 0,
            reused: 0,
            lock: LockOutcome::Unchanged,
        }))
    }
}
