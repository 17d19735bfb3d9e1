//! The name of a guest.

use crate::marker::{NodeName, NodeNameError};
use serde::{Deserialize, Serialize};

/// A guest's name, which is its folder's below `domUs`, its host name and its unit's instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct GuestName(String);

/// Why a text is no name of a guest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant says in its message what it means")]
pub enum GuestNameError {
    #[error(transparent)]
    NoHostName(#[from] NodeNameError),
    #[error("{found:?} is no name for a guest: Xen takes a number for a domain's id, expected a letter in it")]
    Number { found: String },
    #[error("{found:?} is no name for a guest: it is the host's own under Xen")]
    Host { found: String },
}

impl GuestName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What two names are compared by: host names know no case (RFC 4343).
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl TryFrom<String> for GuestName {
    type Error = GuestNameError;

    fn try_from(name: String) -> Result<Self, GuestNameError> {
        let name = String::from(NodeName::try_from(name)?);
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(GuestNameError::Number { found: name });
        }
        if name.eq_ignore_ascii_case("Domain-0") {
            return Err(GuestNameError::Host { found: name });
        }
        Ok(Self(name))
    }
}

impl std::str::FromStr for GuestName {
    type Err = GuestNameError;

    fn from_str(name: &str) -> Result<Self, GuestNameError> {
        name.to_owned().try_into()
    }
}

impl From<GuestName> for String {
    fn from(name: GuestName) -> Self {
        name.0
    }
}

impl std::fmt::Display for GuestName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_taken_and_others_refused() {
        for good in ["web", "web-1", "db.example.org", "7zip"] {
            assert_eq!(good.parse::<GuestName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a_b", "a/b", "..", "web server", "%i", "42", "Domain-0", "domain-0"] {
            bad.parse::<GuestName>().unwrap_err();
        }
    }
}
