//! Starts and ends guests under Xen (`xl`) or KVM (QEMU).

pub mod kvm;
pub mod launch;
pub mod qemu_arguments;
pub mod templates;
pub mod vm;
pub mod xen;
pub mod xl_config;

use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The hypervisor that the host booted with, and runs its guests under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hypervisor {
    /// The host is Xen's dom0.
    Xen,
    /// Plain Linux: KVM if the processor supports it, emulation if guest.toml asks for it.
    Kvm,
}

impl Hypervisor {
    /// The name in `guest.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xen => "xen",
            Self::Kvm => "kvm",
        }
    }

    /// The hypervisor of the machine whose `/` is `root`. A domU sees "xen" there, too, but is no host.
    pub fn booted(root: &Path) -> Self {
        match fs::read_to_string(root.join("sys/hypervisor/type")) {
            Ok(text) if text.trim() == "xen" => Self::Xen,
            _ => Self::Kvm,
        }
    }
}

/// How a guest ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It powered off.
    PoweredOff,
    /// It rebooted.
    Reset,
    /// It crashed, or was ended by something else; the reason.
    Failed(String),
}
