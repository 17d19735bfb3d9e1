//! The guest images that a host's image holds.

use super::{BuildError, Configured, Resolved};
use crate::progress::Progress;
use crate::util::file_error::At as _;
use appliance_contract::guest_image::MANIFEST;
use appliance_contract::manifest::Manifest;
use std::fs;
use std::path::PathBuf;

/// A published guest image, to be included in a host's image.
#[derive(Debug, Clone)]
pub(super) struct GuestImage {
    pub directory: PathBuf,
    pub manifest: Manifest,
}

impl GuestImage {
    pub(super) fn read(directory: PathBuf) -> Result<Self, BuildError> {
        let path = directory.join(MANIFEST);
        let text = fs::read(&path).at("reading", &path)?;
        let manifest = serde_json::from_slice(&text).map_err(|source| BuildError::Manifest { path, source })?;
        Ok(Self { directory, manifest })
    }
}

impl Resolved {
    /// The guest's image, if an earlier build made it from the same inputs and it is intact.
    pub(super) fn existing_guest(&self) -> Result<Option<GuestImage>, BuildError> {
        self.find_existing_image(&[])?.map(|(_, existing)| GuestImage::read(existing.path)).transpose()
    }
}

impl Configured {
    /// Builds the guest's image.
    pub(super) fn guest_image(self, progress: &dyn Progress) -> Result<GuestImage, BuildError> {
        GuestImage::read(self.assemble(progress)?.pack(progress)?.publish(progress)?.path)
    }
}
