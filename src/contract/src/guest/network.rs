//! A guest's network cards.

use super::MacAddress;
use serde::{Deserialize, Serialize};

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Network {
    /// The host's bridge that the card is in.
    #[serde(default)]
    pub bridge: Bridge,
    /// The card's address. Without it one is derived from the node's and the
    /// guest's name: the same at every start, and locally administered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(example = &"02:00:00:12:34:56"))]
    pub mac: Option<MacAddress>,
    /// What the card looks like under KVM; under Xen it is always Xen's own.
    #[serde(default)]
    pub model: CardModel,
}

/// A bridge's name, as Linux takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("pattern" = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,14}$"))
)]
#[serde(try_from = "String", into = "String")]
pub struct Bridge(String);

/// A text that is no name of a bridge.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("found {found:?}, expected a bridge's name: 1 to 15 letters, digits, hyphens, underscores and inner dots")]
pub struct BridgeError {
    /// The text.
    pub found: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "a doc comment would change the JSON Schema")]
pub enum CardModel {
    /// Fast, and what the shipped guest images have a driver for.
    #[default]
    Virtio,
    /// Intel's gigabit card, for systems without virtio.
    E1000e,
}

impl Bridge {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Bridge {
    /// The one that the host profile makes.
    fn default() -> Self {
        Self("br0".to_owned())
    }
}

impl TryFrom<String> for Bridge {
    type Error = BridgeError;

    fn try_from(name: String) -> Result<Self, BridgeError> {
        // IFNAMSIZ is 16 with the final nought; the kernel refuses / : and white space, xl and QEMU more.
        let good = (1..=15).contains(&name.len())
            && !name.starts_with('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if good { Ok(Self(name)) } else { Err(BridgeError { found: name }) }
    }
}

impl From<Bridge> for String {
    fn from(bridge: Bridge) -> Self {
        bridge.0
    }
}

impl std::fmt::Display for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
