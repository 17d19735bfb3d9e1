//! A guest's root image: a folder with these files, on the medium below
//! [`crate::medium::GUESTS`], in the node's store, and where it was built.

/// The root file system with its verity tree.
pub const ROOT: &str = "root.squashfs";
/// The kernel.
pub const KERNEL: &str = "vmlinuz";
/// The compressed initramfs.
pub const INITRAMFS: &str = "initramfs.zst";
/// The manifest.
pub const MANIFEST: &str = "manifest.json";
/// Beside these where the image was built and in a node's store.
pub const SBOM: &str = "sbom.spdx.json";
/// The lock that the image was made from.
pub const LOCK: &str = "lock";
/// Lines of `sha256sum`, names relative to the folder.
pub const CHECKSUMS: &str = "SHA256SUMS";

/// A node's own images, each in a folder NAME-VERSION.
pub const STORE: &str = "/var/lib/appliance/images";

/// Label of the disk that serves a guest its config.
pub const CONFIG_LABEL: &str = "APPLIANCE_CONFIG";

/// Stands in a guest's kernel arguments for the name of its root's device, which
/// the host knows when it starts the guest: `xvda` on Xen, `vda` on KVM.
pub const DEVICE: &str = "DEVICE";

/// The kernel arguments of a manifest with the device in its place.
pub fn kernel_arguments(of_manifest: &str, device: &str) -> String {
    let source = format!("appliance.root=dev:{DEVICE}");
    let word = |word| if word == source { format!("appliance.root=dev:{device}") } else { String::from(word) };
    of_manifest.split_ascii_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_comes_into_its_place_and_nowhere_else() {
        let found = kernel_arguments("appliance.root=dev:DEVICE ro name=DEVICE", "xvda");
        assert_eq!(found, "appliance.root=dev:xvda ro name=DEVICE");
    }
}
