//! Paths on a medium and in an image.

/// Folder on the medium that holds all that is ours beside the boot files.
pub const DIRECTORY: &str = "/appliance";
/// The manifest.
pub const MANIFEST: &str = "/appliance/manifest.json";
/// The root image.
pub const ROOT_IMAGE: &str = "/appliance/root.squashfs";
/// The bill of materials.
pub const SBOM: &str = "/appliance/sbom.spdx.json";
/// Lines of `sha256sum`, paths relative to the medium's root.
pub const CHECKSUMS: &str = "/appliance/SHA256SUMS";
/// Holds a folder for each guest image, by its name; [`crate::guest_image`] says what is in it.
pub const GUESTS: &str = "/appliance/guests";
/// The kernel.
pub const KERNEL: &str = "/boot/vmlinuz";
/// The initramfs.
pub const INITRAMFS: &str = "/boot/initramfs.zst";
/// The Xen hypervisor.
pub const XEN: &str = "/boot/xen.gz";

/// Inside the image: the manifest, and every path that pruning removed.
pub const IN_IMAGE: &str = "/usr/share/appliance";
/// The image's own manifest.
pub const IN_IMAGE_MANIFEST: &str = "/usr/share/appliance/manifest.json";
/// Templates of domain configs and of QEMU's arguments.
pub const IN_IMAGE_TEMPLATES: &str = "/usr/share/appliance/templates";
/// Every path that pruning removed.
pub const IN_IMAGE_PRUNED: &str = "/usr/share/appliance/pruned";
/// The node's command.
pub const IN_IMAGE_COMMAND: &str = "/usr/bin/appliance";
/// dpkg's database lives in the image proper, so that no `/var` can hide it.
pub const IN_IMAGE_DPKG: &str = "/usr/lib/appliance/dpkg";

/// On the running machine.
pub const CONFIG_MOUNT: &str = "/config";
/// The agent's directory for what is true until the next boot.
pub const RUN: &str = "/run/appliance";
/// The layers that `/etc` is made of.
pub const RUN_ETC: &str = "/run/appliance/etc";
/// A directory for each guest that was started since the boot.
pub const RUN_GUESTS: &str = "/run/appliance/guests";
/// The record of this boot.
pub const BOOT_RECORD: &str = "/run/appliance/boot.json";
