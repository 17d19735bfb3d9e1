//! The version of a file's format.

use serde::{Deserialize, Serialize};

/// The schema version that this build of applbuild and its agent write and read.
const CURRENT: u32 = 1;

/// A schema version that this program can read; anything else fails to parse,
/// so that a file of a later format is never half understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Schema(());

impl Schema {
    /// The version that this program writes.
    pub const CURRENT: Self = Self(());
}

impl Default for Schema {
    fn default() -> Self {
        Self::CURRENT
    }
}

/// A version of another program.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("schema version {found} is not known to this program, expected {CURRENT}; a newer image or applbuild reads it")]
pub struct SchemaError {
    /// The version.
    pub found: u32,
}

impl TryFrom<u32> for Schema {
    type Error = SchemaError;

    fn try_from(found: u32) -> Result<Self, SchemaError> {
        if found == CURRENT { Ok(Self(())) } else { Err(SchemaError { found }) }
    }
}

impl From<Schema> for u32 {
    fn from(_: Schema) -> u32 {
        CURRENT
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Schema {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Schema".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "const": CURRENT })
    }
}
