//! Images that are directories, with their records in them.

use super::{Artifact, Catalog, CatalogError, ImageName, Published, REBUILD, RECORD, Texts, failed, hash, sync, write};
use crate::util::file_error::At as _;
use crate::util::sha256;
use appliance_contract::Sha256;
use appliance_contract::guest_image::CHECKSUMS;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::fs;
use std::io;
use std::path::Path;

impl Catalog {
    pub(super) fn publish_directory(
        &self,
        name: &ImageName,
        artifact: &Artifact,
        texts: Texts<'_>,
        replace: bool,
    ) -> Result<Published, CatalogError> {
        let path = self.path(name);
        let sha256 = artifact.sha256;
        let exists = path.exists();
        let before = if exists { content(&path)? } else { None };
        let was_there = before == Some(sha256);
        if exists && !was_there && !replace {
            let unlisted = || "files that its SHA256SUMS does not list".to_owned();
            let found = before.map_or_else(unlisted, |sha256| sha256.to_string());
            return Err(CatalogError::Changed { path, found, expected: sha256 });
        }
        self.record_name(name)?;
        // The inputs may have changed though the bytes have not, so an image that stays gets new records, too.
        let directory = if was_there { &path } else { &artifact.path };
        write(&directory.join(REBUILD), texts.rebuild.as_bytes())?;
        write(&directory.join(RECORD), &name.record(artifact.size, sha256))?;
        if !was_there {
            // An image that is replaced goes where the new one was, and is removed with the work directory.
            let renamed = if exists {
                renameat2(AT_FDCWD, &artifact.path, AT_FDCWD, &path, RenameFlags::RENAME_EXCHANGE)
                    .map_err(io::Error::from)
            } else {
                fs::rename(&artifact.path, &path)
            };
            renamed.at("renaming the image to", &path)?;
            sync(&self.directory)?;
        }
        Ok(Published { path, version: name.version.clone(), was_there })
    }
}

/// SHA-256 of the directory's `SHA256SUMS`; `None` where there is none or a file is not as it says.
pub(super) fn content(directory: &Path) -> Result<Option<Sha256>, CatalogError> {
    let sums = directory.join(CHECKSUMS);
    let text = match fs::read_to_string(&sums) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("reading", &sums)(source)),
    };
    for line in text.lines() {
        let Some((sum, name)) = line.split_once("  ") else { return Ok(None) };
        // Names in the directory itself: a file of ours has no slash in its name.
        let Ok(sum) = sum.parse::<Sha256>() else { return Ok(None) };
        if name.contains('/') || hash(&directory.join(name))? != Some(sum) {
            return Ok(None);
        }
    }
    Ok(Some(sha256::of(text)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::artifact;
    use super::*;
    use crate::output::Shape;
    use std::path::PathBuf;

    fn existing(images: &Catalog, name: &ImageName) -> Option<PathBuf> {
        images.find_existing(name).unwrap().map(|image| image.path)
    }

    fn build(images: &Catalog, inputs: u8, text: &str, replace: bool) -> Result<Published, CatalogError> {
        let folder = images.work().join("new");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("vmlinuz"), text).unwrap();
        let sums = format!("{}  vmlinuz\n", sha256::of(text));
        fs::write(folder.join(CHECKSUMS), &sums).unwrap();
        let slot = images.name(Shape::Directory, "guest", "1.0", [inputs; 32].into(), replace)?;
        let sha256 = sha256::of(&sums);
        images.publish(&slot, &artifact(&folder, 1, sha256), Texts { lock: "", rebuild: "how" }, replace)
    }

    #[test]
    fn names_follow_the_rules_of_other_images() {
        let root = tempfile::tempdir().unwrap();
        let images = Catalog::open(root.path()).unwrap();
        // The image of another form takes no number away.
        fs::write(root.path().join("guest-1.0.iso"), "").unwrap();
        assert_eq!(build(&images, 1, "a", false).unwrap().version, "1.0");
        assert_eq!(fs::read(root.path().join("guest-1.0/rebuild")).unwrap(), b"how");
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
        let images = Catalog::open(root.path()).unwrap();
        let placed = build(&images, 1, "a", false).unwrap();
        let slot = images.name(Shape::Directory, "guest", "1.0", [1; 32].into(), false).unwrap();
        assert_eq!(existing(&images, &slot), Some(placed.path.clone()));
        fs::write(placed.path.join("vmlinuz"), "x").unwrap();
        assert_eq!(existing(&images, &slot), None);
        assert!(matches!(build(&images, 1, "a", false), Err(CatalogError::Changed { .. })));
        assert!(!build(&images, 1, "a", true).unwrap().was_there);
    }

    #[test]
    fn other_inputs_have_no_image_made_before() {
        let root = tempfile::tempdir().unwrap();
        let images = Catalog::open(root.path()).unwrap();
        build(&images, 1, "a", false).unwrap();
        let slot = images.name(Shape::Directory, "guest", "1.0", [2; 32].into(), true).unwrap();
        assert_eq!(existing(&images, &slot), None);
    }
}
