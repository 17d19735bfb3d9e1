//! The exact packages of a profile, by version and SHA-256.

use appliance_contract::Schema;
use serde::{Deserialize, Serialize};

/// What a build takes from an archive; enough to rebuild without trusting the mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lock {
    pub schema: Schema,
    pub profile: String,
    pub architecture: String,
    /// The newest date of the suites' Release files, seconds since 1970.
    pub date: i64,
    pub suites: Vec<LockedSuite>,
    /// What the image holds, sorted by name.
    pub packages: Vec<LockedPackage>,
    /// What the build runs or copies boot files from, and the image does not hold; sorted by name.
    #[serde(default)]
    pub tools: Vec<LockedPackage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedSuite {
    pub archive: String,
    pub name: String,
    pub inrelease_sha256: String,
    /// Seconds since 1970.
    pub date: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedPackage {
    pub name: String,
    pub version: String,
    pub architecture: String,
    pub sha256: String,
    pub size: u64,
    /// The archive that has it (`debian`, `debian-security`) and the path in its pool.
    pub archive: String,
    pub path: String,
}

impl Lock {
    /// The file's text: TOML, a table a package, made for review in a diff.
    pub fn render(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}
