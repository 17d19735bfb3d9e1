//! The ids of system users and groups: every image of a lock has the id that a script gave first.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names to ids. Only ever added to: an id whose name is gone stays taken, as
/// files on a node's disks may still be of it.
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
    /// Two names have one id.
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
    /// The id is not for packages (Debian Policy 9.2.2).
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

/// Whether an id is one that Debian gives to nobody once and for all (policy 9.2.2):
/// below 100, from 60000 to 64999, and above, base-passwd and single packages own them.
pub fn is_dynamic(id: u32) -> bool {
    (100..60_000).contains(&id)
}

impl Ids {
    /// Whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    /// Takes over what `other` says and this does not: names that this lacks,
    /// with ids that it gives to nobody.
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
