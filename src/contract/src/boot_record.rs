//! `/run/appliance/boot.json`: what the agent found and did at this boot.

use crate::marker::Role;
use crate::{Schema, Sha256};
use serde::{Deserialize, Serialize};

/// The record of one boot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BootRecord {
    /// The version of this format.
    pub schema: Schema,
    /// What the machine is.
    pub role: Role,
    /// The image that was booted.
    pub image: Image,
    /// Where its root lies.
    pub root: Root,
    /// The config that was taken, if any.
    pub config: Option<Config>,
    /// What was looked at and why it was not taken.
    pub refused: Vec<Refused>,
    /// What of the config went over `/etc`.
    pub etc: Etc,
    /// `image` (a layer of memory over the image's) or the device that holds `/var`.
    pub var: String,
    /// Why `/var` lies in memory, where the config wants a disk (with `nofail`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub var_degraded: Option<String>,
    /// The machine ID of this boot.
    pub machine_id: String,
    /// What the boot warned of, in its order.
    pub warnings: Vec<String>,
    /// The steps of the boot, in their order.
    pub steps: Vec<Step>,
}

/// An image by its profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// The name of its profile.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The root image and its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Root {
    /// As on the kernel command line.
    pub source: String,
    /// The block device.
    pub device: String,
    /// Where the image begins on the device, in bytes.
    pub offset: u64,
    /// `None` when the root is not verified.
    pub root_hash: Option<Sha256>,
}

/// The config partition that was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Its block device.
    pub device: String,
    /// The name of its file system.
    pub file_system: String,
    /// The file system's UUID.
    pub uuid: Option<String>,
    /// The file system's label.
    pub label: Option<String>,
    /// The node's name, from the marker.
    pub node: String,
    /// The generation of the config, from the marker.
    pub generation: Option<String>,
    /// Other partitions with a marker of the same node.
    pub others: Vec<String>,
}

/// Something that was not taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// The device or the path.
    pub device: String,
    /// Why it was not taken.
    pub reason: String,
}

/// What of the config's `etc` was copied.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Etc {
    /// The number of files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Paths in the config's `etc` that were left out, with the reason.
    pub dropped: Vec<Refused>,
    /// Links into `/config/global`.
    pub global_links: Vec<String>,
}

/// A step of the boot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The step's name.
    pub name: String,
    /// Milliseconds since the kernel started.
    pub started_ms: u64,
    /// Milliseconds that it took.
    pub took_ms: u64,
}
