//! Images that are folders: whole in their place, or not there.

use super::{Images, ImagesError, Published, RECORD, Slot, failed, hash, sync, write};
use appliance_contract::guest_image::CHECKSUMS;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A finished folder, its `SHA256SUMS` in it.
#[derive(Debug)]
pub struct FinishedFolder<'a> {
    /// Below [`Images::work`], so that a rename puts it in its place.
    pub folder: &'a Path,
    /// Bytes of all its files.
    pub size: u64,
    /// Of its `SHA256SUMS`, and so of all that this lists.
    pub sha256: [u8; 32],
}

impl Images {
    fn folder_of(&self, slot: &Slot) -> PathBuf {
        self.folder.join(format!("{}-{}", slot.name, slot.version))
    }

    /// The image that the same inputs gave before, when it is there and whole.
    pub fn find_existing_folder(&self, slot: &Slot) -> Result<Option<PathBuf>, ImagesError> {
        let path = self.folder_of(slot);
        let Ok(record) = fs::read(path.join(RECORD)) else { return Ok(None) };
        let Ok(record) = serde_json::from_slice::<super::Record>(&record) else { return Ok(None) };
        let same =
            record.inputs_sha256 == slot.inputs_sha256 && content(&path)?.is_some_and(|sum| sum == record.sha256);
        Ok(same.then_some(path))
    }

    /// Puts a build's folder in its place.
    pub fn place_folder(
        &self,
        slot: &Slot,
        finished: &FinishedFolder<'_>,
        replace: bool,
    ) -> Result<Published, ImagesError> {
        let _held = self.hold()?;
        let path = self.folder_of(slot);
        let sha256 = hex::encode(finished.sha256);
        let there = path.exists();
        let before = if there { content(&path)? } else { None };
        if before.as_ref() == Some(&sha256) {
            self.give_name(slot)?;
            // The inputs may be others all the same.
            write(&path.join(RECORD), &slot.record(finished.size, &sha256))?;
            return Ok(Published { path, version: slot.version.clone(), was_there: true });
        }
        if there && !replace {
            let found = before.unwrap_or_else(|| "files that its SHA256SUMS does not tell of".to_owned());
            return Err(ImagesError::Changed { path, found, expected: sha256 });
        }
        self.give_name(slot)?;
        write(&finished.folder.join(RECORD), &slot.record(finished.size, &sha256))?;
        // What stood there goes to where the new one was, and with that folder.
        let renamed = if there {
            renameat2(AT_FDCWD, finished.folder, AT_FDCWD, &path, RenameFlags::RENAME_EXCHANGE).map_err(io::Error::from)
        } else {
            fs::rename(finished.folder, &path)
        };
        renamed.map_err(failed("renaming the image to", &path))?;
        sync(&self.folder)?;
        Ok(Published { path, version: slot.version.clone(), was_there: false })
    }
}

/// SHA-256 of the folder's `SHA256SUMS`; `None` where there is none or a file is not as it says.
fn content(folder: &Path) -> Result<Option<String>, ImagesError> {
    let sums = folder.join(CHECKSUMS);
    let text = match fs::read_to_string(&sums) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("reading", &sums)(source)),
    };
    for line in text.lines() {
        let Some((sum, name)) = line.split_once("  ") else { return Ok(None) };
        // Names in the folder itself: a file of ours has no slash in its name.
        if name.contains('/') || hash(&folder.join(name))?.as_deref() != Some(sum) {
            return Ok(None);
        }
    }
    Ok(Some(hex::encode(Sha256::digest(text))))
}

#[cfg(test)]
mod tests {
    use crate::output::catalog::folder::super::Form;
    use super::*;

    fn build(images: &Images, inputs: u8, text: &str, replace: bool) -> Result<Published, ImagesError> {
        let folder = images.work().join("new");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("vmlinuz"), text).unwrap();
        let sums = format!("{}  vmlinuz\n", hex::encode(Sha256::digest(text)));
        fs::write(folder.join(CHECKSUMS), &sums).unwrap();
        let slot = images.slot(Form::Folder, "guest", "1.0", &[inputs; 32], replace)?;
        let sha256 = Sha256::digest(&sums).into();
        images.place_folder(&slot, &FinishedFolder { folder: &folder, size: 1, sha256 }, replace)
    }

    #[test]
    fn names_follow_the_rules_of_other_images() {
        let root = tempfile::tempdir().unwrap();
        let images = Images::open(root.path()).unwrap();
        // The image of another form takes no number away.
        fs::write(root.path().join("guest-1.0.iso"), "").unwrap();
        assert_eq!(build(&images, 1, "a", false).unwrap().version, "1.0");
        assert!(build(&images, 1, "a", false).unwrap().was_there);
        assert_eq!(build(&images, 2, "b", false).unwrap().version, "1.0-2");
        assert_eq!(fs::read(root.path().join("guest-1.0-2/vmlinuz")).unwrap(), b"b");
        assert_eq!(build(&images, 3, "c", true).unwrap().version, "1.0");
        assert_eq!(fs::read(root.path().join("guest-1.0/vmlinuz")).unwrap(), b"c");
        fs::remove_dir_all(root.path().join("guest-1.0-2")).unwrap();
        assert_eq!(build(&images, 4, "d", false).unwrap().version, "1.0-3");
        assert_eq!(build(&images, 2, "b", false).unwrap().version, "1.0-2");
    }

    #[test]
    fn a_damaged_image_is_reported_and_never_taken_for_the_one_made_before() {
        let root = tempfile::tempdir().unwrap();
        let images = Images::open(root.path()).unwrap();
        let placed = build(&images, 1, "a", false).unwrap();
        let slot = images.slot(Form::Folder, "guest", "1.0", &[1; 32], false).unwrap();
        assert_eq!(images.find_existing_folder(&slot).unwrap(), Some(placed.path.clone()));
        fs::write(placed.path.join("vmlinuz"), "x").unwrap();
        assert_eq!(images.find_existing_folder(&slot).unwrap(), None);
        assert!(matches!(build(&images, 1, "a", false), Err(ImagesError::Changed { .. })));
        assert!(!build(&images, 1, "a", true).unwrap().was_there);
    }

    #[test]
    fn other_inputs_have_no_image_made_before() {
        let root = tempfile::tempdir().unwrap();
        let images = Images::open(root.path()).unwrap();
        build(&images, 1, "a", false).unwrap();
        let slot = images.slot(Form::Folder, "guest", "1.0", &[2; 32], true).unwrap();
        assert_eq!(images.find_existing_folder(&slot).unwrap(), None);
    }
}
