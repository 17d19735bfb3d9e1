//! The folder of a guest's image, and the guests that a host's image holds.

use super::{BuildError, Built, Configured, Packed, Resolved};
use crate::output::catalog::FinishedFolder;
use crate::output::guest::{self, Guest, Input};
use crate::progress::Progress;
use appliance_contract::guest_image::MANIFEST;
use appliance_contract::manifest::Manifest;
use std::fs;
use std::path::PathBuf;

/// A guest image in its place, to be laid onto the medium of a host.
#[derive(Debug, Clone)]
pub(super) struct GuestImage {
    pub folder: PathBuf,
    pub manifest: Manifest,
}

impl GuestImage {
    pub(super) fn read(folder: PathBuf) -> Result<Self, BuildError> {
        let path = folder.join(MANIFEST);
        let text =
            fs::read(&path).map_err(|source| BuildError::Io { attempt: "reading", path: path.clone(), source })?;
        let manifest = serde_json::from_slice(&text).map_err(|source| BuildError::Manifest { path, source })?;
        Ok(Self { folder, manifest })
    }
}

impl Resolved {
    /// The guest's image, if the same inputs gave it before and it is whole.
    pub(super) fn guest_before(&self) -> Result<Option<GuestImage>, BuildError> {
        if self.request.replace || !self.whole {
            return Ok(None);
        }
        let place = self.place(&[])?;
        place.images.find_existing_folder(&place.slot)?.map(GuestImage::read).transpose()
    }
}

impl Configured {
    /// Makes the guest's image.
    pub(super) fn guest_image(self, progress: &dyn Progress) -> Result<GuestImage, BuildError> {
        GuestImage::read(self.assemble(progress)?.pack(progress)?.lay_out_guest(progress)?.path)
    }
}

impl Packed {
    /// Makes the folder, in the place of a medium.
    pub fn lay_out_guest(self, progress: &dyn Progress) -> Result<Built, BuildError> {
        let assembled = &self.assembled;
        let resolved = &assembled.resolved;
        let request = &resolved.request;
        let Some(root) = &self.root else {
            return Err(BuildError::PlainGuest { profile: request.profile.name.clone() });
        };
        let folder = assembled.work.path().join("guest");
        let image = self.image();
        let input =
            Input { image, root: &root.file, verity: &root.verity, lock_text: &resolved.lock_text, folder: &folder };
        let Guest { size, sha256, initramfs_size, .. } = guest::lay_out(input, progress)?;
        let finished = FinishedFolder { folder: &folder, size, sha256 };
        let placed = assembled.images.place_folder(&assembled.slot, &finished, request.replace)?;
        Ok(Built {
            path: placed.path,
            version: placed.version,
            was_there: placed.was_there,
            size,
            sha256,
            packages: resolved.lock.packages.len(),
            root_size: Some(root.size),
            initramfs_size: Some(initramfs_size),
            content: root.content,
            reused: root.reused,
            lock: assembled.outcome.clone(),
        })
    }
}
