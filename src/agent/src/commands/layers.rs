//! The folders that `/etc` is made of, and what stands at a path in each.

use super::{CommandError, World};
use appliance_contract::medium::RUN_ETC;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

pub struct Layers {
    pub image: PathBuf,
    pub config: PathBuf,
    /// The overlay's upper folder.
    pub memory: PathBuf,
    /// All of them together: `/etc` as it is.
    pub merged: PathBuf,
}

impl Layers {
    pub fn of(world: &World<'_>) -> Self {
        let layer = |name: &str| world.at(format!("{RUN_ETC}/{name}"));
        Self { image: layer("image"), config: layer("config"), memory: layer("memory"), merged: world.at("/etc") }
    }

    /// Where `path` is to be found without the layer of memory.
    pub fn below_memory(&self, path: &str) -> Result<Option<Found>, CommandError> {
        match found(&self.config, path)? {
            Some(found) => Ok(Some(found)),
            // What the config has in place of a folder hides what is in the image's.
            None if self.hidden_by_config(path)? => Ok(None),
            None => found(&self.image, path),
        }
    }

    fn hidden_by_config(&self, path: &str) -> Result<bool, CommandError> {
        for (end, _) in path.match_indices('/') {
            if found(&self.config, &path[..end])?.is_some_and(|found| !found.metadata.is_dir()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Something at a place in a layer.
pub struct Found {
    pub place: PathBuf,
    pub metadata: Metadata,
}

pub fn found(layer: &Path, path: &str) -> Result<Option<Found>, CommandError> {
    let place = layer.join(path);
    match fs::symlink_metadata(&place) {
        Ok(metadata) => Ok(Some(Found { place, metadata })),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(CommandError::Read { path: place, error }),
    }
}

/// Names in a folder of a layer, sorted; none where it is no folder there.
pub fn names(layer: &Path, path: &str) -> Result<Vec<String>, CommandError> {
    let place = layer.join(path);
    let failed = |error| CommandError::Read { path: place.clone(), error };
    if !found(layer, path)?.is_some_and(|found| found.metadata.is_dir()) {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&place).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

impl Found {
    /// How overlayfs writes "deleted".
    pub fn is_whiteout(&self) -> bool {
        self.metadata.file_type().is_char_device() && self.metadata.rdev() == 0
    }

    pub fn same_as(&self, other: &Self) -> Result<bool, CommandError> {
        let (a, b) = (&self.metadata, &other.metadata);
        if (a.mode(), a.uid(), a.gid()) != (b.mode(), b.uid(), b.gid()) {
            return Ok(false);
        }
        if a.is_symlink() {
            return Ok(self.target()? == other.target()?);
        }
        if a.is_file() {
            return Ok(a.len() == b.len() && self.content()? == other.content()?);
        }
        Ok(a.is_dir() || a.rdev() == b.rdev())
    }

    pub fn target(&self) -> Result<PathBuf, CommandError> {
        fs::read_link(&self.place).map_err(|error| CommandError::Read { path: self.place.clone(), error })
    }

    pub fn content(&self) -> Result<Vec<u8>, CommandError> {
        fs::read(&self.place).map_err(|error| CommandError::Read { path: self.place.clone(), error })
    }
}
