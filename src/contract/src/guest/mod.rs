//! `guest.toml`: which image a guest runs, with what, and when.

mod disk;
mod error;
mod image_ref;
mod mac;
mod name;
mod network;
mod seconds;
mod size;
#[cfg(test)]
mod tests;

pub use disk::{Access, Content, Disk, DiskError, DiskName, DiskNameError, DiskSource, DiskSourceError};
pub use error::GuestError;
pub use image_ref::{ImageRef, ImageRefError};
pub use mac::{MacAddress, MacAddressError};
pub use name::{GuestName, GuestNameError};
pub use network::{Bridge, BridgeError, CardModel, Network};
pub use seconds::{Seconds, SecondsError};
pub use size::{Memory, Size, SizeError};

use crate::Schema;
use crate::marker::NodeName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::num::NonZeroU16;

/// Name of the file in a guest's directory.
pub const FILE_NAME: &str = "guest.toml";
/// Holds a folder for each guest, by its name.
pub const DIRECTORY: &str = "/config/local/domUs";
/// Beside guest.toml: the guest's `/config/local`.
pub const CONFIG: &str = "config";
/// Larger than this is no guest.toml.
pub const MAX_SIZE: u64 = 64 * 1024;

/// A guest, as local/domUs/NAME/guest.toml describes it; NAME is its name and its host name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "guest.toml"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GuestConfig {
    /// The version of this file's format.
    #[cfg_attr(feature = "schema", schemars(example = 1))]
    pub schema: Schema,
    /// The guest image: "NAME" for the newest verified one of the medium and
    /// the node's store, "NAME@VERSION" for that version.
    #[cfg_attr(feature = "schema", schemars(example = &"guest-web"))]
    pub image: ImageRef,
    /// The guest's memory: a whole number and M or G, 16M at least.
    #[cfg_attr(feature = "schema", schemars(example = &"256M"))]
    pub memory: Memory,
    /// The number of its processors.
    #[serde(default)]
    pub vcpus: Vcpus,
    /// What the host does when the guest ends, and what waits for it.
    #[serde(default)]
    pub mode: Mode,
    /// Whether the host starts it when it boots.
    #[serde(default = "yes")]
    pub autostart: bool,
    /// The guests that are started before this one, and powered off after it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[cfg_attr(feature = "schema", schemars(extend("examples" = [["db"]])))]
    pub after: BTreeSet<GuestName>,
    /// How long the guest may take to power off before it is forced.
    #[serde(default = "stop_timeout")]
    pub stop_timeout: Seconds,
    /// How long it may take to report that it is ready. A guest that was just
    /// upgraded and is not ready by then goes back to the version before.
    #[serde(default = "ready_timeout")]
    pub ready_timeout: Seconds,
    /// A TCP port on which a guest that is ready answers; its console does not
    /// count then. The host asks at the guest's addresses in /etc/hosts; where
    /// that does not name it, at those that it finds by the guest's cards.
    /// Without a port, ready is what the image says on its console once it has
    /// reached multi-user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(example = 80))]
    pub ready_port: Option<NonZeroU16>,
    /// Xen or KVM; "auto" takes what the host booted with.
    #[serde(default)]
    pub hypervisor: Hypervisor,
    /// What KVM guests run on: "kvm", or "tcg" for emulation in software, which
    /// is slow and only taken when it is asked for here.
    #[serde(default)]
    pub accel: Accel,
    /// The machine that KVM guests see.
    #[serde(default)]
    pub machine: Machine,
    /// The folder vservers/NAME of the fleet that holds the guest's config;
    /// `applbuild config image` puts it into the host's config partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(example = &"web"))]
    pub vserver: Option<NodeName>,
    /// Who starts it: systemd, or a cluster manager that starts and stops the
    /// same unit; systemd then neither starts it at boot nor restarts it.
    #[serde(default)]
    pub managed_by: ManagedBy,
    /// Its disks, in the order that it sees them in.
    #[serde(default, rename = "disk", skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    /// Its network cards, in the order that it sees them in.
    #[serde(default, rename = "network", skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
}

/// 1 to 512 processors: what Xen and QEMU both can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("minimum" = 1, "maximum" = Vcpus::MOST))
)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vcpus(u16);

/// A number of processors out of its range.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("found {found}, expected 1 to {}", Vcpus::MOST)]
pub struct VcpusError {
    /// The number.
    pub found: u32,
}

impl Vcpus {
    const MOST: u16 = 512;

    /// The number of processors.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl Default for Vcpus {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<u32> for Vcpus {
    type Error = VcpusError;

    fn try_from(found: u32) -> Result<Self, VcpusError> {
        let count = u16::try_from(found).ok().filter(|count| (1..=Self::MOST).contains(count));
        count.map(Self).ok_or(VcpusError { found })
    }
}

impl From<Vcpus> for u32 {
    fn from(count: Vcpus) -> Self {
        count.0.into()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "a doc comment would change the JSON Schema")]
pub enum Mode {
    /// Started again, ever more slowly; after 5 failures in 10 minutes it rests.
    #[default]
    Respawn,
    /// Runs once in each boot of the host: not started again, however it ends.
    Once,
    /// As `once`, and what comes after it starts when it is ready or has finished.
    Wait,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "a doc comment would change the JSON Schema")]
pub enum Hypervisor {
    #[default]
    Auto,
    Xen,
    Kvm,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "a doc comment would change the JSON Schema")]
pub enum Accel {
    #[default]
    Kvm,
    Tcg,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "a doc comment would change the JSON Schema")]
pub enum Machine {
    /// A PC with PCI Express.
    #[default]
    Q35,
    /// Without PCI: starts faster, and holds less that could fail.
    Microvm,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "a doc comment would change the JSON Schema")]
pub enum ManagedBy {
    #[default]
    Systemd,
    Cluster,
}

fn yes() -> bool {
    true
}

fn stop_timeout() -> Seconds {
    Seconds::new(60)
}

fn ready_timeout() -> Seconds {
    Seconds::new(300)
}

impl GuestConfig {
    /// Parses a guest.toml.
    pub fn parse(text: &str) -> Result<Self, GuestError> {
        let config: Self = toml::from_str(text).map_err(|error| GuestError::from_toml(text, &error))?;
        config.check().map_err(GuestError::whole)?;
        Ok(config)
    }

    /// What no single key can say.
    fn check(&self) -> Result<(), String> {
        for (index, disk) in self.disks.iter().enumerate() {
            let before = &self.disks[..index];
            if before.iter().any(|other| other.name == disk.name) {
                return Err(format!("two disks are named {}", disk.name));
            }
            if let Some(other) = before.iter().find(|other| other.source == disk.source) {
                return Err(format!("the disks {} and {} have the same source {}", other.name, disk.name, disk.source));
            }
        }
        for (index, card) in self.networks.iter().enumerate() {
            if let Some(mac) = card.mac
                && self.networks[..index].iter().any(|other| other.mac == Some(mac))
            {
                return Err(format!("two network cards have the address {mac}"));
            }
        }
        if self.accel == Accel::Tcg && self.hypervisor == Hypervisor::Xen {
            return Err("accel = \"tcg\" is KVM's, and hypervisor = \"xen\" asks for Xen".to_owned());
        }
        if self.machine == Machine::Microvm
            && let Some(card) = self.networks.iter().position(|card| card.model == CardModel::E1000e)
        {
            return Err(format!(
                "network card {}: model = \"e1000e\" needs PCI, which machine = \"microvm\" has not",
                card + 1
            ));
        }
        if self.ready_port.is_some() && self.networks.is_empty() {
            return Err("ready-port needs a network card, as in [[network]] with bridge = \"br0\"".to_owned());
        }
        Ok(())
    }
}
