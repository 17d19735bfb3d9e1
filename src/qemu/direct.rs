//! Starting an image without a boot loader, a guest's as a host does: QEMU is given kernel, initramfs and arguments.

use super::{QemuError, damage};
use crate::util::file_error::At as _;
use appliance_contract::guest_image::{MANIFEST, kernel_arguments};
use appliance_contract::manifest::Manifest;
use appliance_contract::medium;
use std::path::{Path, PathBuf};

/// What QEMU loads by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Direct {
    /// A file with the kernel.
    pub kernel: PathBuf,
    /// A file with the initramfs.
    pub initramfs: PathBuf,
    /// The kernel's command line.
    pub arguments: String,
}

/// The manifest's name of the boot entry without a hypervisor below.
const PLAIN_LINUX: &str = "kvm";

impl Direct {
    /// Kernel and initramfs of a medium, copied to `folder`; the entry's own arguments stand before `more`.
    pub fn of_medium(image: &Path, more: &str, folder: &Path) -> Result<Self, QemuError> {
        let record = image.with_extension(MANIFEST);
        let entries = read(&record)?.boot_entries;
        let entry = entries.iter().find(|entry| entry.id == PLAIN_LINUX).ok_or_else(|| QemuError::NoEntry {
            manifest: record.clone(),
            known: entries.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        let copy = |inside: &str, name: &str| {
            let path = folder.join(name);
            damage::copy_out(image, inside, &path).map(|()| path)
        };
        Ok(Self {
            kernel: copy(medium::KERNEL, "kernel")?,
            initramfs: copy(medium::INITRAMFS, "initramfs")?,
            arguments: format!("{} {more}", entry.kernel_arguments),
        })
    }
}

/// A guest image in its folder.
#[derive(Debug, Clone)]
pub struct GuestImage {
    /// What is started.
    pub direct: Direct,
    /// The root image, which becomes a drive.
    pub root: PathBuf,
}

impl GuestImage {
    /// The guest image `name` that the host image `image` holds, from the folder beside it.
    pub fn of_host(image: &Path, name: &str) -> Result<Self, QemuError> {
        let record = image.with_extension(MANIFEST);
        let host = read(&record)?;
        let guest = host.guests.iter().find(|guest| guest.name == name).ok_or_else(|| QemuError::NoGuest {
            name: name.to_owned(),
            manifest: record.clone(),
            known: host.guests.iter().map(|guest| guest.name.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        Self::read(&image.with_file_name(format!("{name}-{}", guest.version)))
    }

    /// Its root's device is the first virtio disk, its console the first serial port.
    fn read(folder: &Path) -> Result<Self, QemuError> {
        let path = folder.join(MANIFEST);
        let manifest = read(&path)?;
        let (Some(guest), Some(root)) = (manifest.guest, manifest.root) else {
            return Err(QemuError::NotGuest { path });
        };
        let direct = Direct {
            kernel: folder.join(guest.kernel),
            initramfs: folder.join(guest.initramfs),
            arguments: format!("{} console=ttyS0", kernel_arguments(&guest.kernel_arguments, "vda")),
        };
        Ok(Self { direct, root: folder.join(root.path) })
    }
}

fn read(path: &Path) -> Result<Manifest, QemuError> {
    let text = std::fs::read(path).at("reading", path)?;
    serde_json::from_slice(&text).map_err(|source| QemuError::Manifest { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::causes::WithCauses as _;
    use std::fs;

    const HOST: &str = r#"{"schema": 1, "name": "host", "version": "1", "kind": "host", "architecture": "amd64",
        "applbuild": {"version": "0", "sha256": "HASH"}, "agent_sha256": null, "lock_sha256": "HASH", "source_date_epoch": 0,
        "medium_uuid": null, "root": null, "packages": [],
        "guests": [{"name": "guest", "version": "1-2", "path": "/appliance/guests/guest", "manifest_sha256": "HASH"}]}"#;

    fn host() -> String {
        HOST.replace("HASH", &"00".repeat(32))
    }

    fn guest() -> String {
        let guest = r#""guest": {"kernel": "vmlinuz", "initramfs": "initramfs.zst",
            "kernel_arguments": "appliance.root=dev:DEVICE ro"}, "root": {"path": "root.squashfs", "format": "squashfs"}"#;
        host().replace("\"root\": null", guest).replace("\"kind\": \"host\"", "\"kind\": \"guest\"")
    }

    #[test]
    fn the_folder_of_the_version_that_the_host_holds_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("host-1.iso");
        fs::write(folder.path().join("host-1.manifest.json"), host()).unwrap();
        fs::create_dir(folder.path().join("guest-1-2")).unwrap();
        fs::write(folder.path().join("guest-1-2/manifest.json"), guest()).unwrap();
        let found = GuestImage::of_host(&image, "guest").unwrap();
        assert_eq!(found.direct.arguments, "appliance.root=dev:vda ro console=ttyS0");
        assert_eq!(found.root, folder.path().join("guest-1-2/root.squashfs"));
        let error = GuestImage::of_host(&image, "guets").unwrap_err().with_causes();
        assert!(error.contains("holds no guest \"guets\"") && error.ends_with("guest"), "{error}");
    }
}
