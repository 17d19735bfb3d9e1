//! The differences between two locks.

use super::{Lock, LockedPackage};
use crate::packages::version::Version;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The change of one package, user or group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Only the new lock has it.
    Added {
        /// The value in the new lock.
        to: String,
    },
    /// Only the old lock has it.
    Removed {
        /// The value in the old lock.
        from: String,
    },
    /// The new lock has a later version.
    Upgraded {
        /// The version in the old lock.
        from: String,
        /// The version in the new lock.
        to: String,
    },
    /// The new lock has an earlier version.
    Downgraded {
        /// The version in the old lock.
        from: String,
        /// The version in the new lock.
        to: String,
    },
    /// The same version with different bytes: the SHA-256 before and after.
    OnlyHash {
        /// The version in both.
        version: String,
        /// The hash in the old lock.
        from: String,
        /// The hash in the new lock.
        to: String,
    },
    /// A different id, archive or architecture.
    Moved {
        /// The value in the old lock.
        from: String,
        /// The value in the new lock.
        to: String,
    },
}

impl Change {
    /// The change's name in `--json` output.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Added { .. } => "added",
            Self::Removed { .. } => "removed",
            Self::Upgraded { .. } => "upgraded",
            Self::Downgraded { .. } => "downgraded",
            Self::OnlyHash { .. } => "only-hash",
            Self::Moved { .. } => "moved",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { to } => write!(f, "added {to}"),
            Self::Removed { from } => write!(f, "removed {from}"),
            Self::Upgraded { from, to } => write!(f, "upgraded {from} to {to}"),
            Self::Downgraded { from, to } => write!(f, "downgraded {from} to {to}"),
            Self::OnlyHash { version, from, to } => write!(f, "other bytes of {version}: SHA-256 {from} to {to}"),
            Self::Moved { from, to } => write!(f, "moved {from} to {to}"),
        }
    }
}

/// All changes between two locks, each list sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Packages of the image.
    pub packages: Vec<(String, Change)>,
    /// Packages that the build uses.
    pub tools: Vec<(String, Change)>,
    /// Tar sets.
    pub sets: Vec<(String, Change)>,
    /// User ids.
    pub users: Vec<(String, Change)>,
    /// Group ids.
    pub groups: Vec<(String, Change)>,
    /// Releases of suites: the date in seconds since 1970.
    pub suites: Vec<(String, Change)>,
    /// The guests' changes, by name; for a new guest all packages are added.
    pub guests: Vec<(String, Changes)>,
}

impl Changes {
    /// The differences of `new` from `old`.
    pub fn between(old: &Lock, new: &Lock) -> Self {
        let sets = |lock: &Lock| lock.sets.iter().map(|set| (set.name.clone(), set.sha256.to_string())).collect();
        let suites = |lock: &Lock| {
            let told = |suite: &super::LockedSuite| {
                (format!("{}/{}", suite.archive, suite.name), (suite.date, suite.inrelease_sha256))
            };
            lock.suites.iter().map(told).collect::<BTreeMap<_, _>>()
        };
        let names: BTreeSet<&String> = old.guests.iter().chain(&new.guests).map(|guest| &guest.profile).collect();
        let guests = names.into_iter().map(|name| {
            let of = |lock: &Lock| lock.guests.iter().find(|guest| guest.profile == *name).cloned();
            let none = || Lock::empty(name, &new.architecture);
            (name.clone(), Self::between(&of(old).unwrap_or_else(none), &of(new).unwrap_or_else(none)))
        });
        Self {
            guests: guests.filter(|(_, changes)| !changes.is_empty()).collect(),
            packages: packages(&old.packages, &new.packages),
            tools: packages(&old.tools, &new.tools),
            sets: compare(&sets(old), &sets(new), String::clone, |from, to| Change::Moved {
                from: from.clone(),
                to: to.clone(),
            }),
            users: ids(&old.ids.users, &new.ids.users),
            groups: ids(&old.ids.groups, &new.ids.groups),
            suites: compare(
                &suites(old),
                &suites(new),
                |(date, _)| date.to_string(),
                |(from, before), (to, now)| match from.cmp(to) {
                    Ordering::Less => Change::Upgraded { from: from.to_string(), to: to.to_string() },
                    Ordering::Greater => Change::Downgraded { from: from.to_string(), to: to.to_string() },
                    Ordering::Equal => {
                        Change::OnlyHash { version: to.to_string(), from: before.to_string(), to: now.to_string() }
                    }
                },
            ),
        }
    }

    /// Whether the locks are equivalent.
    pub fn is_empty(&self) -> bool {
        self.guests.is_empty() && self.lists().iter().all(|(_, list)| list.is_empty())
    }

    /// The lists, each with the name of its kind of item.
    pub fn lists(&self) -> [(&'static str, &[(String, Change)]); 6] {
        [
            ("package", &self.packages),
            ("tool", &self.tools),
            ("set", &self.sets),
            ("user", &self.users),
            ("group", &self.groups),
            ("suite", &self.suites),
        ]
    }
}

fn packages(old: &[LockedPackage], new: &[LockedPackage]) -> Vec<(String, Change)> {
    let by_name = |list: &[LockedPackage]| list.iter().map(|p| (p.name.clone(), p.clone())).collect::<BTreeMap<_, _>>();
    compare(&by_name(old), &by_name(new), |package| package.version.clone(), moved)
}

fn moved(old: &LockedPackage, new: &LockedPackage) -> Change {
    let (from, to) = (old.version.clone(), new.version.clone());
    // The versions in a lock were parsed before; one that cannot be parsed only counts as different.
    match (Version::parse(&old.version), Version::parse(&new.version)) {
        (Ok(before), Ok(now)) if now > before => Change::Upgraded { from, to },
        (Ok(before), Ok(now)) if now < before => Change::Downgraded { from, to },
        _ if old.sha256 != new.sha256 => {
            Change::OnlyHash { version: to, from: old.sha256.to_string(), to: new.sha256.to_string() }
        }
        _ => {
            let place = |package: &LockedPackage| format!("{} {}", package.archive, package.path);
            Change::Moved { from: place(old), to: place(new) }
        }
    }
}

fn ids(old: &BTreeMap<String, u32>, new: &BTreeMap<String, u32>) -> Vec<(String, Change)> {
    compare(old, new, u32::to_string, |from, to| Change::Moved { from: from.to_string(), to: to.to_string() })
}

fn compare<T: PartialEq>(
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    show: impl Fn(&T) -> String,
    differ: impl Fn(&T, &T) -> Change,
) -> Vec<(String, Change)> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        let change = match (old.get(name), new.get(name)) {
            (Some(from), Some(to)) if from != to => differ(from, to),
            (Some(from), None) => Change::Removed { from: show(from) },
            (None, Some(to)) => Change::Added { to: show(to) },
            _ => continue,
        };
        changes.push((name.clone(), change));
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::super::tests::lock;
    use super::*;

    #[test]
    fn equal_locks_have_no_changes() {
        assert!(Changes::between(&lock(), &lock()).is_empty());
    }

    #[test]
    fn each_kind_of_change_is_told() {
        let old = lock();
        let mut new = lock();
        let package = |name: &str, version: &str| LockedPackage {
            name: name.to_owned(),
            version: version.to_owned(),
            ..old.packages[0].clone()
        };
        let mut old = old.clone();
        old.packages = vec![
            package("down", "2"),
            package("gone", "1"),
            package("hash", "1"),
            package("place", "1"),
            package("up", "1~rc1"),
        ];
        new.packages = vec![
            package("down", "1:1"),
            package("hash", "1"),
            package("new", "3"),
            package("place", "1"),
            package("up", "1"),
        ];
        old.packages[0].version = "2:1".to_owned();
        new.packages[1].sha256 = [0xee; 32].into();
        new.packages[3].path = "pool/other.deb".to_owned();
        new.ids.users.insert("b".to_owned(), 998);
        new.suites[0].date += 1;
        new.sets.clear();
        new.guests.push(Lock { profile: "web".to_owned(), ..lock() });
        let changes = Changes::between(&old, &new);
        let named: Vec<_> = changes.packages.iter().map(|(name, change)| (name.as_str(), change.name())).collect();
        let expected = [
            ("down", "downgraded"),
            ("gone", "removed"),
            ("hash", "only-hash"),
            ("new", "added"),
            ("place", "moved"),
            ("up", "upgraded"),
        ];
        assert_eq!(named, expected);
        assert_eq!(changes.packages[5].1.to_string(), "upgraded 1~rc1 to 1");
        assert_eq!(changes.users, [("b".to_owned(), Change::Added { to: "998".to_owned() })]);
        assert_eq!(changes.sets[0].1.name(), "removed");
        assert_eq!((changes.suites[0].0.as_str(), changes.suites[0].1.name()), ("debian/trixie", "upgraded"));
        assert_eq!((changes.guests[0].0.as_str(), changes.guests[0].1.packages.len()), ("web", 2));
        assert!(changes.tools.is_empty() && changes.groups.is_empty());
    }
}
