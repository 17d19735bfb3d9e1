//! The ids of system users and groups. Every image of a lock uses the id that a maintainer script assigned first.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Maps names to ids. Entries are only added: the id of a removed name stays reserved, because files on a node's disks
/// may still belong to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ids {
    /// Ids of users (passwd(5)).
    #[serde(default)]
    pub users: BTreeMap<String, u32>,
    /// Ids of groups (group(5)).
    #[serde(default)]
    pub groups: BTreeMap<String, u32>,
}

/// Why a lock's ids are refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdsError {
    /// Two names have the same id.
    #[error("the {kind}s {first:?} and {second:?} are both {id}, expected an id for each")]
    Twice {
        /// `user` or `group`.
        kind: &'static str,
        /// One of the names.
        first: String,
        /// The other.
        second: String,
        /// The id.
        id: u32,
    },
    /// The id is not one that packages may allocate (Debian Policy 9.2.2).
    #[error("the {kind} {name:?} is {id}, expected an id that Debian leaves to packages: 100 to 59999")]
    Range {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The id.
        id: u32,
    },
}

/// Whether packages may allocate the id dynamically (Debian Policy 9.2.2). Ids below 100, from 60000 to 64999 and above
/// are assigned permanently to base-passwd and single packages.
pub fn is_dynamic(id: u32) -> bool {
    (100..60_000).contains(&id)
}

impl Ids {
    /// Whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    /// Adds the names of `other` that are missing here, if their ids are not taken.
    pub fn add(&mut self, other: &Self) {
        for (own, others) in [(&mut self.users, &other.users), (&mut self.groups, &other.groups)] {
            for (name, id) in others {
                if !own.contains_key(name) && !own.values().any(|taken| taken == id) {
                    own.insert(name.clone(), *id);
                }
            }
        }
    }

    pub(super) fn check(&self) -> Result<(), IdsError> {
        for (kind, ids) in [("user", &self.users), ("group", &self.groups)] {
            let mut names: BTreeMap<u32, &String> = BTreeMap::new();
            for (name, &id) in ids {
                if !is_dynamic(id) {
                    return Err(IdsError::Range { kind, name: name.clone(), id });
                }
                if let Some(first) = names.insert(id, name) {
                    return Err(IdsError::Twice { kind, first: first.clone(), second: name.clone(), id });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(users: &[(&str, u32)]) -> Ids {
        Ids { users: users.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect(), ..Ids::default() }
    }

    #[test]
    fn what_is_known_stays_and_no_id_is_given_twice() {
        let mut own = ids(&[("a", 100), ("b", 101)]);
        own.add(&ids(&[("a", 200), ("c", 101), ("d", 102)]));
        assert_eq!(own, ids(&[("a", 100), ("b", 101), ("d", 102)]));
    }

    #[test]
    fn refuses_two_names_for_an_id_and_ids_that_are_not_for_packages() {
        assert!(ids(&[("a", 100), ("b", 999)]).check().is_ok());
        assert!(matches!(ids(&[("a", 100), ("b", 100)]).check(), Err(IdsError::Twice { id: 100, .. })));
        for id in [0, 42, 99, 60_000, 65_534] {
            assert!(matches!(ids(&[("a", id)]).check(), Err(IdsError::Range { .. })), "{id}");
        }
    }
}
