//! A guest as a hypervisor is to start it: all choices made, all files and devices there.

use appliance_contract::guest::CardModel;
use std::path::PathBuf;

/// A guest as a hypervisor is to start it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The guest's name.
    pub name: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Number of processors.
    pub vcpus: u16,
    /// The kernel's file.
    pub kernel: PathBuf,
    /// The initramfs's file.
    pub initramfs: PathBuf,
    /// Of the kernel, with the root's device in its place.
    pub arguments: String,
    /// In the order that the guest sees them in: the root first, the served config last.
    pub disks: Vec<PlanDisk>,
    /// In the order of guest.toml.
    pub cards: Vec<PlanCard>,
}

/// A disk of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanDisk {
    /// Its name in guest.toml, `root` or `config`.
    pub name: String,
    /// The host's device or file.
    pub path: PathBuf,
    /// Whether the guest cannot write to it.
    pub read_only: bool,
    /// Not a regular file.
    pub is_device: bool,
}

/// A network card of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanCard {
    /// The host's bridge.
    pub bridge: String,
    /// The card's address.
    pub mac: String,
    /// What the card looks like under KVM.
    pub model: CardModel,
    /// The host's end of it.
    pub interface: String,
}

/// The letter of a disk by its place: `a` to `z`, then `aa` (drivers/block/xen-blkfront.c, encode_disk_name).
pub fn letters(index: usize) -> String {
    let mut text = String::new();
    let mut rest = index + 1;
    while rest > 0 {
        text.insert(0, char::from(b'a' + ((rest - 1) % 26) as u8));
        rest = (rest - 1) / 26;
    }
    text
}

/// The interface's name of a guest's card: unlike any other guest's and at most
/// 15 bytes long, whatever the guest is called.
pub fn interface(guest: &str, card: usize) -> String {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(guest.as_bytes());
    format!("g{}.{card}", crate::formats::verity::hex(&hash[..5]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_count_on_after_z() {
        assert_eq!([0, 1, 25, 26, 27].map(letters), ["a", "b", "z", "aa", "ab"]);
    }

    #[test]
    fn interfaces_fit_into_the_kernels_bound() {
        let long = "x".repeat(64);
        assert!(interface(&long, 99).len() <= 15);
        assert_ne!(interface(&long, 0), interface("web", 0));
        assert_ne!(interface("web", 0), interface("web", 1));
    }
}
