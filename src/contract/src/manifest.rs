//! `manifest.json`: what an image or a medium is. The medium's names the root
//! image's verity hash; the one inside the image cannot, and leaves `root` out.

use crate::{Schema, Sha256};
use serde::{Deserialize, Serialize};
#[cfg(feature = "builder")]
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub schema: Schema,
    /// The profile's name.
    pub name: String,
    /// The profile's version, with the build number when it is not the first (`2026.11.1-2`).
    pub version: String,
    pub kind: crate::marker::Role,
    pub architecture: String,
    /// The agent asks nothing of it.
    #[cfg(feature = "builder")]
    pub applbuild: Program,
    /// SHA-256 of the agent (`/init`), where the image has it.
    pub agent_sha256: Option<Sha256>,
    pub lock_sha256: Sha256,
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

/// The applbuild that made an image.
#[cfg(feature = "builder")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appliance_sha256: Option<Sha256>,
    /// What compiled them.
    #[serde(default)]
    pub compiler: String,
    /// What it compresses with, by version.
    #[serde(default)]
    pub libraries: BTreeMap<String, String>,
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
    pub root_hash: Sha256,
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
    pub manifest_sha256: Sha256,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub path: String,
    pub size: u64,
    pub sha256: Sha256,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
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
