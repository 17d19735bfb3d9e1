//! `appliance.toml`, the marker: the file in the root of a file system that
//! makes it the config partition.

use crate::Schema;
use serde::{Deserialize, Serialize};

/// Name of the marker, in the root of the config's file system.
pub const FILE_NAME: &str = "appliance.toml";
/// Larger than this is no marker; it bounds what is read from an unknown file system.
pub const MAX_SIZE: u64 = 64 * 1024;

/// What a machine is; an agent takes only a config of its own role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "a doc comment would change the JSON Schema")]
pub enum Role {
    Host,
    Guest,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Guest => "guest",
        })
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "host" => Ok(Self::Host),
            "guest" => Ok(Self::Guest),
            _ => Err(format!("found role {text:?}, expected host or guest")),
        }
    }
}

/// The name of a node: one host name label or several (RFC 1123, 2.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for NodeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no node's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{found:?} is not a host name: expected labels of 1 to 63 letters, digits and inner hyphens, 64 characters at most"
)]
pub struct NodeNameError {
    /// The text.
    pub found: String,
}

impl TryFrom<String> for NodeName {
    type Error = NodeNameError;

    fn try_from(name: String) -> Result<Self, NodeNameError> {
        // 64 is Linux's HOST_NAME_MAX.
        let good = name.len() <= 64
            && name.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                    && !label.starts_with('-')
                    && !label.ends_with('-')
            });
        if good { Ok(Self(name)) } else { Err(NodeNameError { found: name }) }
    }
}

impl std::str::FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(name: &str) -> Result<Self, NodeNameError> {
        name.to_owned().try_into()
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0
    }
}

/// The marker's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "appliance.toml"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Marker {
    /// The version of this file's format.
    #[cfg_attr(feature = "schema", schemars(example = 1))]
    pub schema: Schema,
    /// What the machine is; an agent takes only a config of its own role.
    #[cfg_attr(feature = "schema", schemars(example = &"host"))]
    pub role: Role,
    /// The node's name, which becomes its host name unless local/etc/hostname says otherwise.
    #[cfg_attr(feature = "schema", schemars(example = &"web1"))]
    pub node: NodeName,
    /// Free text, usually the fleet's revision.
    #[cfg_attr(feature = "schema", schemars(example = &"r1842"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// 32 hexadecimal digits; derived from the node's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// Absolute paths that become links into `/config/global`, when the target is there.
    #[serde(default = "default_links")]
    pub global_links: Vec<String>,
    /// systemd units to enable: what a FAT file system cannot hold as links.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enable: Vec<String>,
    /// systemd units to mask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mask: Vec<String>,
    /// Links to make in `/etc`: path → target.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub links: std::collections::BTreeMap<String, String>,
}

fn default_links() -> Vec<String> {
    vec!["/etc/hosts".to_owned()]
}

impl Marker {
    /// Parses a marker. The error is TOML's, with line and column.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_documented_example() {
        let marker = Marker::parse(
            "schema = 1\nrole = \"host\"\nnode = \"web1\"\ngeneration = \"r1842\"\nglobal-links = [\"/etc/hosts\"]\n",
        )
        .unwrap();
        assert_eq!(marker.node.as_str(), "web1");
        assert_eq!(marker.role, Role::Host);
        assert_eq!(marker.generation.as_deref(), Some("r1842"));
    }

    #[test]
    fn refuses_a_later_schema_an_unknown_key_and_a_bad_name() {
        for (text, said) in [
            ("schema = 2\nrole = \"host\"\nnode = \"a\"\n", "schema version 2"),
            ("schema = 1\nrole = \"host\"\nnode = \"a\"\nnod = 1\n", "unknown field `nod`"),
            ("schema = 1\nrole = \"host\"\nnode = \"-a\"\n", "not a host name"),
            ("schema = 1\nrole = \"dom0\"\nnode = \"a\"\n", "unknown variant `dom0`"),
        ] {
            let error = Marker::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
