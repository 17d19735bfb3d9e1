use crate::packages::dependency::DependencyError;
use crate::packages::version::VersionError;
use std::fmt;

/// A record that cannot be taken, and why. It costs nobody anything who does not want that package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored<'a> {
    pub archive: &'a str,
    pub suite: &'a str,
    /// Empty where the record has none that is text.
    pub name: &'a str,
    /// As the record has it.
    pub version: &'a str,
    pub fault: Fault,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("its {field} holds bytes that are not UTF-8")]
    Encoding { field: &'static str },
    #[error("line {line} of the index is {found:?}, expected \"Field: value\"")]
    Line { line: usize, found: String },
    #[error("it has no {field}")]
    Missing { field: &'static str },
    #[error("it has neither SHA256 nor SHA512, and MD5 and SHA-1 can be forged")]
    NoHash,
    #[error("its {field} is {found:?}, expected {expected}")]
    Value { field: &'static str, found: String, expected: &'static str },
    #[error("{0}")]
    Version(VersionError),
    #[error("its {field}: {source}")]
    Relation { field: &'static str, source: DependencyError },
    #[error("no pattern of the archive's packages matches its name")]
    NotNamed,
    #[error("an archive without a key of its own has a package of that name")]
    Replaces,
}

impl Fault {
    /// Whether the profile leaves the record out, and not the record itself.
    pub fn is_choice(&self) -> bool {
        matches!(self, Self::NotNamed | Self::Replaces)
    }
}

impl fmt::Display for Ignored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { archive, suite, name, version, fault } = self;
        let name = if name.is_empty() { "a package without a name" } else { name };
        let version = if version.is_empty() { String::new() } else { format!(" {version}") };
        write!(f, "{name}{version} in {archive} {suite} cannot be used: {fault}; ")?;
        if fault.is_choice() {
            write!(f, "to take it from there, name it in archives.{archive}.packages in the profile")
        } else {
            f.write_str("the archive's owner must correct the record")
        }
    }
}
