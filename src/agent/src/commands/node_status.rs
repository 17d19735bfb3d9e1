//! What `appliance status` tells of the node; with `--json`, these are the keys.

use crate::guests::overview::Overview;
use appliance_contract::boot_record::BootRecord;
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    pub boot: BootRecord,
    pub kernel: Option<String>,
    /// `xen` or whatever the kernel says it runs under.
    pub hypervisor: Option<String>,
    pub uptime_s: Option<u64>,
    pub root: Option<Mounted>,
    pub verity: Verity,
    pub var: Option<Mounted>,
    /// Changes of /etc since the boot; `None` where this user may not see them.
    pub changes_in_memory: Option<usize>,
    /// What keeps the node from running guests at all.
    pub trouble: Option<String>,
    pub guests: Vec<Overview>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mounted {
    pub source: String,
    pub file_system: String,
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Verity {
    /// Booted with appliance.roothash=none.
    Unverified,
    Verified,
    /// A block whose hash is wrong was met since the boot.
    Corrupted,
    /// Verified at boot; its present state could not be asked.
    Unknown {
        reason: String,
    },
}

impl Status {
    pub fn is_well(&self) -> bool {
        self.verity != Verity::Corrupted
            && self.boot.var_degraded.is_none()
            && self.trouble.is_none()
            && self.guests.iter().all(Overview::is_well)
    }
}
