//! Guest images: finds those on the medium that booted and in the node's store,
//! verifies them, and chooses one for a guest.

mod locate;
mod verify;
pub mod version;

use crate::system::boot_record;
use crate::system::files;
use crate::system::world::World;
use appliance_contract::guest_image;
use appliance_contract::manifest::Manifest;
use appliance_contract::medium;
pub use locate::{Bytes, Place};
use std::path::Path;
pub use verify::{ImageError, Stage, VerifiedImage, verify};

/// A guest image that was found; nothing of it but its manifest has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Where it is.
    pub place: Place,
    /// Its manifest, not verified.
    pub manifest: Manifest,
}

impl Image {
    /// The version that its manifest states.
    pub fn version(&self) -> &str {
        &self.manifest.version
    }
}

/// Why something that looked like the image is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Where it is, for messages.
    pub place: String,
    /// Why it is rejected.
    pub reason: String,
}

/// All images of one name.
#[derive(Debug, Default)]
pub struct Found {
    /// The newest first; of equal versions the medium's.
    pub images: Vec<Image>,
    /// What looked like an image and is none.
    pub rejected: Vec<Rejected>,
}

/// Every image called `name`.
pub fn find(world: &World<'_>, name: &str) -> Found {
    let mut found = Found::default();
    on_medium(world, name, &mut found);
    in_store(world, name, &mut found);
    // A stable sort: the medium's was found first.
    found.images.sort_by(|a, b| version::compare(b.version(), a.version()));
    found
}

fn on_medium(world: &World<'_>, name: &str, found: &mut Found) {
    // A node that booted otherwise has no medium.
    let Some(record) = boot_record::find(world.root) else { return };
    if !record.root.source.starts_with("medium:") {
        return;
    }
    let folder = format!("{}/{name}", medium::GUESTS);
    let place = Place::Medium { device: record.root.device.clone().into(), folder };
    match place.holds(world, guest_image::MANIFEST) {
        Ok(true) => add(world, name, place, found),
        Ok(false) => {}
        Err(error) => found.rejected.push(Rejected { place: place.to_string(), reason: error.to_string() }),
    }
}

fn in_store(world: &World<'_>, name: &str, found: &mut Found) {
    for folder in files::names(&world.at(guest_image::STORE)) {
        // `guest-web-1` may be version `web-1` of `guest`: the manifest tells.
        if !folder.strip_prefix(name).is_some_and(|rest| rest.starts_with('-')) {
            continue;
        }
        let place = Place::Store { folder: Path::new(guest_image::STORE).join(folder) };
        add(world, name, place, found);
    }
}

fn add(world: &World<'_>, name: &str, place: Place, found: &mut Found) {
    let rejected = |reason: String| Rejected { place: place.to_string(), reason };
    match manifest(world, &place) {
        Ok(manifest) if manifest.name != name => {
            if place.is_called(name, &manifest.version) || matches!(place, Place::Medium { .. }) {
                found.rejected.push(rejected(format!("its manifest is of {}, expected {name}", manifest.name)));
            }
        }
        Ok(manifest) if !place.is_called(name, &manifest.version) => {
            let expected = format!("a folder called {name}-{}", manifest.version);
            found
                .rejected
                .push(rejected(format!("its manifest is of version {}, expected {expected}", manifest.version)));
        }
        Ok(manifest) => found.images.push(Image { place, manifest }),
        Err(reason) => found.rejected.push(rejected(reason)),
    }
}

/// Manifests are some ten kilobytes; this bounds what is read from a damaged medium.
const MAX_MANIFEST: u64 = 16 << 20;

fn manifest(world: &World<'_>, place: &Place) -> Result<Manifest, String> {
    let bytes = place
        .open(world, guest_image::MANIFEST)
        .and_then(|file| file.read_whole(MAX_MANIFEST))
        .map_err(|error| format!("reading its {}: {error}", guest_image::MANIFEST))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("its {} is not valid: {error}", guest_image::MANIFEST))
}

/// What a guest is to be started from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageRequest<'a> {
    /// The image's name.
    pub name: &'a str,
    /// This version and no other.
    pub version: Option<&'a str>,
    /// Versions that were tried and did not get ready.
    pub passed_over: &'a [String],
    /// Where kernel and initramfs are copied to, if at all.
    pub stage: Option<Stage<'a>>,
}

/// Why no image fits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum ChoiceError {
    #[error(
        "no image {name}{}{}; put it into {store}/{name}-VERSION or boot a medium that holds it",
        version_text(.version), rejected_text(.rejected), store = guest_image::STORE
    )]
    None { name: String, version: Option<String>, rejected: Vec<Rejected> },
}

fn version_text(version: &Option<String>) -> String {
    version.as_ref().map(|version| format!(" of version {version}")).unwrap_or_default()
}

fn rejected_text(rejected: &[Rejected]) -> String {
    if rejected.is_empty() {
        return " is on the medium or in the store".to_owned();
    }
    let each: Vec<String> =
        rejected.iter().map(|rejected| format!("{}: {}", rejected.place, rejected.reason)).collect();
    format!(" is sound: {}", each.join("; "))
}

/// The newest sound image that fits the request, and all that was passed over on the way.
pub fn choose(world: &World<'_>, request: ImageRequest<'_>) -> Result<(VerifiedImage, Vec<Rejected>), ChoiceError> {
    let Found { images, mut rejected } = find(world, request.name);
    let fits = |image: &Image| match request.version {
        Some(version) => image.version() == version,
        None => !request.passed_over.iter().any(|passed| passed == image.version()),
    };
    for image in images.into_iter().filter(fits) {
        let place = image.place.to_string();
        match verify(world, image, request.stage) {
            Ok(verified) => return Ok((verified, rejected)),
            Err(error) => rejected.push(Rejected { place, reason: error.to_string() }),
        }
    }
    Err(ChoiceError::None { name: request.name.to_owned(), version: request.version.map(str::to_owned), rejected })
}

#[cfg(test)]
pub(crate) mod tests;
