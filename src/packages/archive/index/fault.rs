//! Records of a `Packages` file that cannot be used.

use crate::packages::dependency::DependencyError;
use crate::packages::version::VersionError;
use appliance_contract::causes::WithCauses as _;
use std::fmt;

/// A record that cannot be used, and why. It stops only a build that needs that package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored<'a> {
    /// The archive that offers it.
    pub archive: &'a str,
    /// The suite that lists it.
    pub suite: &'a str,
    /// The package; empty if the record has no name in UTF-8.
    pub name: &'a str,
    /// The version, as the record has it.
    pub version: &'a str,
    /// What is wrong with it.
    pub fault: Fault,
}

/// Why a record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A field is not UTF-8.
    #[error("its {field} holds bytes that are not UTF-8")]
    Encoding {
        /// The field.
        field: &'static str,
    },
    /// A line is not a field (deb822(5)).
    #[error("line {line} of the index is {found:?}, expected \"Field: value\"")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The beginning of the line.
        found: String,
    },
    /// A required field is missing.
    #[error("it has no {field}")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// The record has neither SHA-256 nor SHA-512.
    #[error("it has neither SHA256 nor SHA512, and MD5 and SHA-1 can be forged")]
    NoHash,
    /// A field has an invalid value.
    #[error("its {field} is {found:?}, expected {expected}")]
    Value {
        /// The field.
        field: &'static str,
        /// The value.
        found: String,
        /// The expected form.
        expected: &'static str,
    },
    /// The version is invalid (deb-version(7)).
    #[error(transparent)]
    Version(VersionError),
    /// A relation to other packages cannot be parsed.
    #[error("its {field}")]
    Relation {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        source: DependencyError,
    },
    /// The profile takes only named packages from the archive.
    #[error("no pattern of the archive's packages matches its name")]
    NotNamed,
    /// The archive may only add packages, and another archive has this name.
    #[error("an archive without a key of its own has a package of that name")]
    Replaces,
}

impl Fault {
    /// Whether the profile excludes the record. Otherwise the record itself is faulty.
    pub fn is_choice(&self) -> bool {
        matches!(self, Self::NotNamed | Self::Replaces)
    }
}

impl fmt::Display for Ignored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { archive, suite, name, version, fault } = self;
        let name = if name.is_empty() { "a package without a name" } else { name };
        let version = if version.is_empty() { String::new() } else { format!(" {version}") };
        write!(f, "{name}{version} in {archive} {suite} cannot be used: {}; ", fault.with_causes())?;
        if fault.is_choice() {
            write!(f, "to take it from there, name it in archives.{archive}.packages in the profile")
        } else {
            f.write_str("the archive's owner must correct the record")
        }
    }
}
