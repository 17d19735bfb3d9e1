//! `manifest.json`: what an image or a medium is. The medium's names the root
//! image's verity hash; the one inside the image cannot, and leaves `root` out.

use crate::{Schema, Sha256};
use serde::{Deserialize, Serialize};
#[cfg(feature = "builder")]
use std::collections::BTreeMap;

/// The manifest of an image or a medium. What the feature `builder` guards, the agent does not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format.
    pub schema: Schema,
    /// The profile's name.
    pub name: String,
    /// The profile's version, with the build number when it is not the first (`2026.11.1-2`).
    pub version: String,
    /// What the image is for.
    pub kind: crate::marker::Role,
    /// The architecture, as Debian names it.
    pub architecture: String,
    /// The program that made the image.
    #[cfg(feature = "builder")]
    pub applbuild: Program,
    /// SHA-256 of the agent (`/init`), where the image has it.
    #[cfg(feature = "builder")]
    pub agent_sha256: Option<Sha256>,
    /// SHA-256 of the lock that the image was made from.
    #[cfg(feature = "builder")]
    pub lock_sha256: Sha256,
    /// The time that stands in all of the image's own files, in seconds since 1970.
    #[cfg(feature = "builder")]
    pub source_date_epoch: i64,
    /// The ISO 9660 volume's UUID, as blkid and GRUB write it.
    #[cfg(feature = "builder")]
    pub medium_uuid: Option<String>,
    /// The root file system.
    pub root: Option<RootImage>,
    /// The entries of the boot menu.
    #[cfg(feature = "builder")]
    #[serde(default)]
    pub boot_entries: Vec<BootEntry>,
    /// How a host starts it; a guest image's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestBoot>,
    /// The guest images that the medium holds.
    #[cfg(feature = "builder")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guests: Vec<EmbeddedGuest>,
    /// The files beside the manifest.
    #[serde(default)]
    pub files: Vec<File>,
    /// The packages in the image.
    #[cfg(feature = "builder")]
    pub packages: Vec<Package>,
}

/// The applbuild that made an image.
#[cfg(feature = "builder")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The version of its release.
    pub version: String,
    /// What it is known by: a hash over the version and all that follows. (Of images made before there was a
    /// `source_sha256`: the binary's.)
    pub sha256: Sha256,
    /// Of the source that it was compiled from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_sha256: Option<Sha256>,
    /// Of the two programs that it carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_sha256: Option<Sha256>,
    /// The second of them, the node's command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appliance_sha256: Option<Sha256>,
    /// What compiled them.
    #[serde(default)]
    pub compiler: String,
    /// What it compresses with, by version.
    #[serde(default)]
    pub libraries: BTreeMap<String, String>,
}

/// The file of the root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootImage {
    /// Path on the medium.
    pub path: String,
    /// `squashfs` or `plain`.
    pub format: String,
    /// How it is verified; `None` where it is not.
    pub verity: Option<Verity>,
}

/// dm-verity's parameters; hash type 1, SHA-256, 4096-byte data and hash blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verity {
    /// UUID of the hash tree.
    pub uuid: String,
    /// The salt, in hexadecimal digits.
    pub salt: String,
    /// The hash at the top of the tree.
    pub root_hash: Sha256,
    /// Where the verity superblock begins in the file, in bytes.
    pub hash_offset: u64,
    /// The number of blocks before the tree.
    pub data_blocks: u64,
}

/// An entry of the boot menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootEntry {
    /// `xen`, `kvm`, `check` or `rescue`.
    pub id: String,
    /// What the menu shows.
    pub title: String,
    /// The kernel command line.
    pub kernel_arguments: String,
}

/// What a hypervisor is given to start a guest; paths are relative to the image's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestBoot {
    /// The kernel's file.
    pub kernel: String,
    /// The initramfs' file.
    pub initramfs: String,
    /// [`crate::guest_image::kernel_arguments`] puts the device in; consoles are the host's to add.
    pub kernel_arguments: String,
}

/// A guest image on a host's medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddedGuest {
    /// The name of its profile.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its folder on the medium.
    pub path: String,
    /// Of its manifest, which names the SHA-256 of its other files.
    pub manifest_sha256: Sha256,
}

/// A file of the medium or of the image's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its path.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its content.
    pub sha256: Sha256,
}

/// A package in the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
}

#[cfg(all(test, feature = "builder"))]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn hash(byte: u8) -> String {
        Sha256::from([byte; 32]).to_string()
    }

    fn manifest(applbuild: Value) -> Value {
        json!({
            "schema": 1, "name": "host", "version": "1", "kind": "host", "architecture": "amd64",
            "applbuild": applbuild, "agent_sha256": null, "lock_sha256": hash(0), "source_date_epoch": 0,
            "medium_uuid": null, "root": null, "packages": [],
        })
    }

    #[test]
    fn manifests_of_older_and_newer_programs_are_read() {
        let old = manifest(json!({"version": "0.1.0", "sha256": hash(0)}));
        let old: Manifest = serde_json::from_value(old).unwrap();
        assert_eq!((old.applbuild.sha256, old.applbuild.source_sha256), (Sha256::from([0; 32]), None));
        let newer = json!({
            "version": "0.2.0", "sha256": hash(0), "source_sha256": hash(1), "init_sha256": hash(2),
            "appliance_sha256": hash(3), "compiler": "rustc 1.95.0", "libraries": {"zstd": "1.5.7"}, "another": [1],
        });
        let newer: Manifest = serde_json::from_value(manifest(newer)).unwrap();
        assert_eq!(newer.applbuild.libraries["zstd"], "1.5.7");
        // What an agent of before there was a source hash asks for.
        let written = serde_json::to_value(&newer).unwrap();
        assert_eq!(
            (&written["applbuild"]["version"], &written["applbuild"]["sha256"]),
            (&json!("0.2.0"), &json!(hash(0)))
        );
        let damaged = manifest(json!({"version": "0.1.0", "sha256": "00"}));
        let error = serde_json::from_value::<Manifest>(damaged).unwrap_err().to_string();
        assert!(error.contains("expected a SHA-256"), "{error}");
    }
}
