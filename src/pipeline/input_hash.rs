//! The hash over all inputs of a build. A later build uses it to find an existing image.

use super::guest::GuestImage;
use super::{BuildError, Resolved};
use crate::identity;
use crate::output::manifest_text;
use crate::profile::{OverlayContent, Profile};
use crate::util::file_error::{At as _, FileError};
use crate::util::sha256::Hasher;
use appliance_contract::Sha256;
use std::fs;
use std::path::{Path, PathBuf};

/// SHA-256 over everything that determines an image's bytes, except its build number.
pub(super) fn digest(resolved: &Resolved, guests: &[GuestImage]) -> Result<Sha256, BuildError> {
    let mut parts = Parts(Hasher::default());
    parts.add(identity::sha256().to_string());
    parts.add(&resolved.lock_text);
    parts.add(resolved.source_date.to_le_bytes());
    profile(&resolved.request.profile, &mut parts);
    if let Some(folder) = &resolved.request.templates {
        let mut files = Vec::new();
        list(folder, &mut files)?;
        files.sort();
        for path in files {
            let bytes = read(&path)?;
            let name = path.strip_prefix(folder).unwrap_or(&path);
            parts.add(name.as_os_str().as_encoded_bytes());
            parts.add(bytes);
        }
    }
    for guest in guests {
        // The manifest contains the SHA-256 of all the guest's other files.
        parts.add(manifest_text(&guest.manifest));
    }
    Ok(parts.0.finish())
}

fn profile(profile: &Profile, parts: &mut Parts) {
    // A set counts by its SHA-256. Its path on the build machine does not affect the image.
    let mut keys = profile.clone();
    for set in &mut keys.sets {
        set.path = PathBuf::new();
    }
    // So it is with a key's file; the lock has the fingerprints.
    for archive in keys.archives.values_mut() {
        archive.key = None;
    }
    parts.add(keys.show());
    for file in profile.overlays.iter().flat_map(|overlay| &overlay.files) {
        parts.add(&file.path);
        match &file.content {
            OverlayContent::Bytes(bytes) => parts.add(bytes),
            OverlayContent::Template(template) => parts.add(&template.text),
            OverlayContent::Symlink(_) | OverlayContent::Directory => {}
        }
    }
}

/// Hashes parts, each preceded by its length, so that different lists of parts never give the same bytes.
struct Parts(Hasher);

impl Parts {
    fn add(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(|source| BuildError::from(FileError::new("reading", path.to_owned(), source)))
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), BuildError> {
    let failed = |source| BuildError::from(FileError::new("listing", folder.to_owned(), source));
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let kind = fs::metadata(&path).at("reading", &path)?;
        if kind.is_dir() {
            list(&path, files)?;
        } else if kind.is_file() {
            files.push(path);
        } else {
            // Reading a FIFO would block until a writer opens it.
            let source = std::io::Error::other("found a pipe, socket or device, expected a file");
            return Err(BuildError::from(FileError::new("reading", path, source)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::keys::KEYS;
    use crate::profile::tests::with_example;

    /// Keys whose example cannot differ from the default: only one architecture is supported.
    const CONSTANT: [&str; 1] = ["architecture"];

    fn digest_of(with: &Profile) -> Sha256 {
        let mut parts = Parts(Hasher::default());
        profile(with, &mut parts);
        with.guests.iter().for_each(|guest| profile(guest, &mut parts));
        parts.0.finish()
    }

    #[test]
    fn each_key_of_a_profile_counts() {
        let plain = digest_of(&with_example("").unwrap());
        for key in KEYS {
            let with = with_example(key.example).unwrap_or_else(|error| panic!("{}: {error:?}", key.name));
            let (table, name) = key.split();
            assert!(key.example.contains(name), "{}: its example does not set it", key.name);
            assert!(table.is_none_or(|table| key.example.contains(table)), "{}", key.name);
            assert_eq!(digest_of(&with) != plain, !CONSTANT.contains(&key.name), "{}\n{}", key.name, with.show());
        }
    }
}
