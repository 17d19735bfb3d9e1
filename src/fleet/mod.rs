//! The fleet, a version-controlled directory of every node's config, and the config partitions made from it.

mod config_tree;
mod fat_form;
mod guests;
mod image;
mod init;

pub use config_tree::ConfigTree;
pub use image::{ConfigFormat, ConfigImage, TemporaryImage, Written};
pub use init::{init, init_trial};

use crate::util::file_error::FileError;
use std::path::PathBuf;

/// The directory of a fleet with a config for each node.
pub const NODES: &str = "pservers";
/// The directory of a fleet with a config for each guest.
const GUESTS: &str = "vservers";
/// The directory of a fleet with the files that all nodes get.
const GLOBAL: &str = "global";

/// Why a fleet could not be read, or a config partition could not be written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant says in its message what it means")]
pub enum FleetError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{folder} is not a fleet: expected a directory {NODES} in it; create a fleet: applbuild init DIR", folder = folder.display())]
    NoFleet { folder: PathBuf },
    #[error("there is no node {name:?} in {folder}{hint}", folder = folder.display())]
    NoNode { name: String, folder: PathBuf, hint: String },
    #[error("in {path}", path = path.display())]
    Guest { path: PathBuf, source: appliance_contract::guest::GuestError },
    #[error("{path} names vserver {vserver:?}, which is not in {folder}{hint}", path = path.display(), folder = folder.display())]
    NoVserver { path: PathBuf, vserver: String, folder: PathBuf, hint: String },
    #[error("{path} names vserver {vserver:?}, and {own} also exists; leave one of the two out", path = path.display(), own = own.display())]
    TwoConfigs { path: PathBuf, own: PathBuf, vserver: String },
    #[error("node name")]
    NodeName(#[from] appliance_contract::marker::NodeNameError),
    #[error("in {path}", path = path.display())]
    Marker { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{path} has {found} bytes, expected at most {expected}; shorten it", path = path.display())]
    MarkerSize { path: PathBuf, found: u64, expected: u64 },
    #[error("{path} has {key} = {found:?}, expected {expected:?}, by its directory", path = path.display())]
    MarkerMismatch { path: PathBuf, key: &'static str, found: String, expected: String },
    #[error("in {path}", path = path.display())]
    Modes { path: PathBuf, source: appliance_contract::modes::ModesError },
    #[error("{path} names {entry:?}, which does not exist", path = path.display())]
    ModesEntry { path: PathBuf, entry: String },
    #[error(
        "FAT stores no symlinks, and the marker that lists the config's {links} has {found} bytes, expected at most \
         {expected}; pass --format ext4"
    )]
    FatLinks { links: usize, found: u64, expected: u64 },
    #[error(
        "FAT stores no modes, and local/modes cannot name {path} (mode {mode:04o}), as its name contains a blank or a #; \
         pass --format ext4"
    )]
    FatMode { path: String, mode: u32 },
    #[error("{path} is {found}, expected files, directories and symlinks; remove it", path = path.display())]
    NotConfig { path: PathBuf, found: &'static str },
    #[error(
        "the config needs {found} bytes as {format}, expected at most {expected}, as the image is made in memory; \
         move what is not config to a data disk, or pass --format iso"
    )]
    ImageTooLarge { format: &'static str, found: u64, expected: u64 },
    #[error("{path} holds {found} bytes, expected at most {expected}, for a node's memory", path = path.display())]
    TooLarge { path: PathBuf, found: u64, expected: u64 },
    #[error("{path} holds {found} files, directories and symlinks, expected at most {expected}, the limit of a node", path = path.display())]
    TooMany { path: PathBuf, found: usize, expected: usize },
    #[error("{path} is nested deeper than {expected} directories, the limit of a node", path = path.display())]
    TooDeep { path: PathBuf, expected: usize },
    #[error(transparent)]
    Tree(#[from] crate::tree::TreeError),
    #[error(transparent)]
    Ext4(#[from] crate::format::ext4::Ext4Error),
    #[error(transparent)]
    Fat(#[from] crate::format::fat::FatError),
    #[error(transparent)]
    Iso(#[from] crate::format::iso::IsoError),
    #[error(transparent)]
    Gpt(#[from] crate::format::gpt::GptWriteError),
    #[error("writing a marker")]
    MarkerText { source: toml::ser::Error },
    #[error("{} is not a file; name a file, and copy it to the drive", .0.display())]
    NotAFile(PathBuf),
    #[error("{} already holds files; name a new or an empty directory", .0.display())]
    NotEmpty(PathBuf),
}

impl FleetError {
    fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::from(FileError::new(doing, path, source))
    }
}

/// The names of the fleet's nodes, sorted.
pub fn nodes(fleet: &std::path::Path) -> Result<Vec<String>, FleetError> {
    let folder = fleet.join(NODES);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(FleetError::NoFleet { folder: fleet.to_owned() });
        }
        Err(source) => return Err(FleetError::file("reading", folder)(source)),
    };
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}
