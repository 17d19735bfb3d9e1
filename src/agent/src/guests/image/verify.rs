//! Whether an image is what its manifest says: kernel and initramfs by their
//! SHA-256, the root by the top of its hash tree. The rest of the root is
//! verified block by block as the guest reads it.

use super::locate::Bytes;
use super::{Image, Place};
use crate::formats::verity::{BLOCK, Superblock, VerityError};
use crate::system::world::World;
use appliance_contract::Sha256;
use appliance_contract::kernel_args;
use appliance_contract::manifest::{GuestBoot, Manifest, RootImage, Verity};
use appliance_contract::marker::Role;
use appliance_shared::read_at::{ReadAt, array_at};
use sha2::Digest;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// An image whose files are those of its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedImage {
    /// Where it is.
    pub place: Place,
    /// Its manifest.
    pub manifest: Manifest,
    /// Files of their own, as the node calls them; a medium's only where they were staged.
    pub kernel: PathBuf,
    /// The initramfs, like `kernel`.
    pub initramfs: PathBuf,
    /// How to start it.
    pub boot: GuestBoot,
    /// Its root image.
    pub root: RootImage,
    /// The root image's hash tree.
    pub verity: Verity,
}

/// Where kernel and initramfs are copied to for a start, so that they are files
/// and what was checked is what is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage<'a> {
    /// Where to.
    pub folder: &'a Path,
    /// Those of the store too, and not only the medium's.
    pub all: bool,
}

/// Why an image is rejected.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum ImageError {
    #[error("its manifest is of a {0}, expected a guest")]
    Role(Role),
    #[error("its manifest does not say {0}; it was made by another version of applbuild")]
    Lacks(&'static str),
    #[error("its manifest names the file {file:?}, expected the name of a file beside it")]
    Outside { file: String },
    #[error("reading its {file}: {error}")]
    Read { file: String, error: io::Error },
    #[error("its {file} has SHA-256 {found}, expected {expected}; copy the image again")]
    Hash { file: String, found: Sha256, expected: Sha256 },
    #[error("its {file}: {error}")]
    Verity { file: String, error: VerityError },
    #[error("its {file} has verity root {found}, expected {expected}; copy the image again")]
    RootHash { file: String, found: Sha256, expected: Sha256 },
    #[error("its kernel arguments have the verity root {found:?}, its manifest {expected}; copy the image again")]
    Arguments { found: Vec<String>, expected: Sha256 },
}

/// Checks an image; costs a reading of kernel and initramfs.
pub fn verify(world: &World<'_>, image: Image, stage: Option<Stage<'_>>) -> Result<VerifiedImage, ImageError> {
    let Image { place, manifest } = image;
    if manifest.kind != Role::Guest {
        return Err(ImageError::Role(manifest.kind));
    }
    let boot = manifest.guest.clone().ok_or(ImageError::Lacks("how to start it"))?;
    let root = manifest.root.clone().ok_or(ImageError::Lacks("its root image"))?;
    let verity = root.verity.clone().ok_or(ImageError::Lacks("its root's verity hash"))?;
    for file in [&boot.kernel, &boot.initramfs, &root.path] {
        // They are read, and copied to the host's own files, by these names.
        if file.contains(['/', '\0']) || matches!(file.as_str(), "" | "." | "..") {
            return Err(ImageError::Outside { file: file.clone() });
        }
    }
    // What the guest holds its root against.
    let given = boot.kernel_arguments.split_ascii_whitespace();
    let given: Vec<_> = given.filter_map(|word| word.strip_prefix(kernel_args::ROOT_HASH)).collect();
    if given != [verity.root_hash.to_string()] {
        let found = given.into_iter().map(str::to_owned).collect();
        return Err(ImageError::Arguments { found, expected: verity.root_hash });
    }
    let mut places = [PathBuf::new(), PathBuf::new()];
    for (file, kept) in [&boot.kernel, &boot.initramfs].into_iter().zip(&mut places) {
        let listed = manifest.files.iter().find(|listed| listed.path == *file);
        let expected = listed.ok_or(ImageError::Lacks("the hash of its kernel or initramfs"))?.sha256;
        let read = |error| ImageError::Read { file: file.clone(), error };
        let bytes = place.open(world, file).map_err(read)?;
        let copy = stage
            .filter(|stage| stage.all || matches!(place, Place::Medium { .. }))
            .map(|stage| stage.folder.join(file));
        *kept = copy.clone().unwrap_or_else(|| bytes.backing.clone());
        let found = hash(world, &bytes, copy.as_deref()).map_err(read)?;
        if found != expected {
            return Err(ImageError::Hash { file: file.clone(), found, expected });
        }
    }
    let file = root.path.clone();
    let read = |error| ImageError::Read { file: file.clone(), error };
    let bytes = place.open(world, &file).map_err(read)?;
    let found = root_hash(&bytes).map_err(|error| ImageError::Verity { file: file.clone(), error })?;
    if found != verity.root_hash {
        return Err(ImageError::RootHash { file, found, expected: verity.root_hash });
    }
    let [kernel, initramfs] = places;
    Ok(VerifiedImage { place, manifest, kernel, initramfs, boot, root, verity })
}

fn hash(world: &World<'_>, bytes: &Bytes, copy: Option<&Path>) -> io::Result<Sha256> {
    let mut hasher = sha2::Sha256::new();
    let mut copy = copy.map(|path| File::create(world.at(path))).transpose()?;
    if let Some(copy) = &copy {
        // For QEMU; neither is a secret.
        copy.set_permissions(Permissions::from_mode(0o644))?;
    }
    bytes.read_through(|piece| {
        hasher.update(piece);
        copy.as_mut().map_or(Ok(()), |copy| copy.write_all(piece))
    })?;
    Ok(<[u8; 32]>::from(hasher.finalize()).into())
}

/// The hash of the tree's top block, which follows the superblock; with a single
/// data block there is no tree, and the hash is that block's.
pub fn root_hash(image: &dyn ReadAt) -> Result<Sha256, VerityError> {
    let superblock = Superblock::read(image)?;
    let at = if superblock.data_blocks == 1 { 0 } else { superblock.offset + BLOCK };
    let size = image.size()?;
    let top = array_at::<{ BLOCK as usize }>(image, at)?;
    let top = top.ok_or(VerityError::Short { what: "hash tree", size, expected: at + BLOCK })?;
    // Hash type 1: the salt comes first.
    let hash = sha2::Sha256::new().chain_update(&superblock.salt).chain_update(top).finalize();
    Ok(<[u8; 32]>::from(hash).into())
}
