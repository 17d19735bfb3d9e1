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

/// What the host booted with, and thus runs its guests under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hypervisor {
    /// The host is Xen's dom0.
    Xen,
    /// Plain Linux: KVM where the processor can, emulation where guest.toml asks for it.
    Kvm,
}

impl Hypervisor {
    /// As in `guest.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xen => "xen",
            Self::Kvm => "kvm",
        }
    }

    /// Of the machine whose `/` is `root`. A node's guests other than dom0 see "xen" there, too, but are no hosts.
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
    /// It wants to be started again.
    Reset,
    /// It crashed, or was ended by something else; why.
    Failed(String),
}
