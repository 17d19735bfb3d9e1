//! `/run/appliance/boot.json`: what the agent found and did at this boot.

use crate::marker::Role;
use crate::{Schema, Sha256};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BootRecord {
    pub schema: Schema,
    pub role: Role,
    pub image: Image,
    pub root: Root,
    pub config: Option<Config>,
    /// What was looked at and why it was not taken.
    pub refused: Vec<Refused>,
    pub etc: Etc,
    /// `image` (a layer of memory over the image's) or the device that holds `/var`.
    pub var: String,
    /// Why `/var` lies in memory, where the config wants a disk (with `nofail`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub var_degraded: Option<String>,
    pub machine_id: String,
    pub warnings: Vec<String>,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    pub name: String,
    pub version: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Root {
    /// As on the kernel command line.
    pub source: String,
    pub device: String,
    pub offset: u64,
    /// `None` when the root is not verified.
    pub root_hash: Option<Sha256>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    pub device: String,
    pub file_system: String,
    pub uuid: Option<String>,
    pub label: Option<String>,
    pub node: String,
    pub generation: Option<String>,
    /// Other partitions with a marker of the same node.
    pub others: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    pub device: String,
    pub reason: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Etc {
    pub files: u64,
    pub bytes: u64,
    /// Paths in the config's `etc` that were left out, with the reason.
    pub dropped: Vec<Refused>,
    /// Links into `/config/global`.
    pub global_links: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    /// Milliseconds since the kernel started.
    pub started_ms: u64,
    pub took_ms: u64,
}
