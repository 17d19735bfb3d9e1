//! `manifest.json`: what an image or a medium is. The medium's names the root
//! image's verity hash; the one inside the image cannot, and leaves `root` out.

use crate::Schema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub schema: Schema,
    /// The profile's name.
    pub name: String,
    /// The profile's version, with the build number when it is not the first (`2026.11.1-2`).
    pub version: String,
    pub kind: crate::marker::Role,
    pub architecture: String,
    /// SHA-256 of the applbuild binary, which carries the agent and the `appliance` command, of the agent (`/init`), and of the lock.
    pub applbuild: Program,
    pub agent_sha256: Option<String>,
    pub lock_sha256: String,
    /// The time that stands in all of the image's own files, in seconds since 1970.
    pub source_date_epoch: i64,
    /// The ISO 9660 volume's UUID, as blkid and GRUB write it.
    pub medium_uuid: Option<String>,
    pub root: Option<RootImage>,
    #[serde(default)]
    pub boot_entries: Vec<BootEntry>,
    /// How a host starts it; a guest image's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestBoot>,
    /// The guest images that the medium holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guests: Vec<EmbeddedGuest>,
    #[serde(default)]
    pub files: Vec<File>,
    pub packages: Vec<Package>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    pub version: String,
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootImage {
    /// Path on the medium.
    pub path: String,
    /// `squashfs` or `plain`.
    pub format: String,
    pub verity: Option<Verity>,
}

/// dm-verity's parameters; hash type 1, SHA-256, 4096-byte data and hash blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verity {
    pub uuid: String,
    pub salt: String,
    pub root_hash: String,
    /// Where the verity superblock begins in the file, in bytes.
    pub hash_offset: u64,
    pub data_blocks: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootEntry {
    /// `xen`, `kvm`, `check` or `rescue`.
    pub id: String,
    pub title: String,
    pub kernel_arguments: String,
}

/// What a hypervisor is given to start a guest; paths are relative to the image's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestBoot {
    pub kernel: String,
    pub initramfs: String,
    /// [`crate::guest_image::kernel_arguments`] puts the device in; consoles are the host's to add.
    pub kernel_arguments: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddedGuest {
    pub name: String,
    pub version: String,
    /// Its folder on the medium.
    pub path: String,
    /// Of its manifest, which names the SHA-256 of its other files.
    pub manifest_sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub path: String,
    pub size: u64,
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub architecture: String,
}
