//! The version-controlled folder that holds every node's config, and the
//! config partitions made from it.

mod config_tree;
mod fat_form;
mod guests;
mod image;
mod init;

pub use config_tree::ConfigTree;
pub use image::{ConfigFormat, ConfigImage, Made, Written};
pub use init::{init, init_trial};

use crate::util::file_error::FileError;
use std::path::PathBuf;

/// Folders of a fleet.
pub const NODES: &str = "pservers";
pub const GUESTS: &str = "vservers";
pub const GLOBAL: &str = "global";
pub const DOCUMENTS: &str = "docs";

#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{folder} is no fleet: expected a folder {NODES} in it; make one with: applbuild init DIR", folder = folder.display())]
    NoFleet { folder: PathBuf },
    #[error("there is no node {name:?} in {folder}{hint}", folder = folder.display())]
    NoNode { name: String, folder: PathBuf, hint: String },
    #[error("in {path}", path = path.display())]
    Guest { path: PathBuf, source: appliance_contract::guest::GuestError },
    #[error("{path} names vserver {vserver:?}, which is not in {folder}{hint}", path = path.display(), folder = folder.display())]
    NoVserver { path: PathBuf, vserver: String, folder: PathBuf, hint: String },
    #[error("{path} names vserver {vserver:?}, and {own} is there; leave one of the two out", path = path.display(), own = own.display())]
    TwoConfigs { path: PathBuf, own: PathBuf, vserver: String },
    #[error("node name")]
    NodeName(#[from] appliance_contract::marker::NodeNameError),
    #[error("in {path}", path = path.display())]
    Marker { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{path} says {key} = {found:?}, expected {expected:?}, as its folder has it", path = path.display())]
    MarkerMismatch { path: PathBuf, key: &'static str, found: String, expected: String },
    #[error("in {path}", path = path.display())]
    Modes { path: PathBuf, source: appliance_contract::modes::ModesError },
    #[error("{path} names {entry:?}, which is not there", path = path.display())]
    ModesEntry { path: PathBuf, entry: String },
    #[error("{path} is {found}, expected files, folders and links; remove it", path = path.display())]
    NotConfig { path: PathBuf, found: &'static str },
    #[error(
        "the config needs {found} bytes as {format}, which is made in memory, at most {expected}; \
         keep on a data disk what is no config, or pass --format iso"
    )]
    ImageTooLarge { format: &'static str, found: u64, expected: u64 },
    #[error("{path} holds {found} bytes, at most {expected} fit into a node's memory", path = path.display())]
    TooLarge { path: PathBuf, found: u64, expected: u64 },
    #[error("{path} holds {found} files, folders and links, a node takes {expected} at most", path = path.display())]
    TooMany { path: PathBuf, found: usize, expected: usize },
    #[error("{path} is nested deeper than {expected} folders, which a node does not take", path = path.display())]
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
    #[error("{} is no file; name a file, which can then be copied to a drive", .0.display())]
    NotAFile(PathBuf),
    #[error("{} holds files already; name a new or an empty folder", .0.display())]
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
