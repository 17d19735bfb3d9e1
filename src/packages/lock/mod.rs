//! The exact packages of a profile, by version and SHA-256.

mod diff;
mod ids;

pub use diff::{Change, Changes};
pub use ids::{Ids, IdsError, is_dynamic};

use super::archive::index::{Admission, Record, is_pool_path};
use super::archive::locations::Archives;
use super::archive::refresh::SuiteIndex;
use super::dependency::is_package_name;
use super::resolver::{BaseSet, Conflicts, Request};
use super::version::Version;
use crate::profile::Suite;
use crate::util::sha256;
use appliance_contract::{Schema, Sha256};
use serde::{Deserialize, Serialize};

/// What a build takes from archives: enough to rebuild without trusting the mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lock {
    /// The version of the file's format.
    pub schema: Schema,
    /// The profile's name.
    pub profile: String,
    /// Debian's name of the architecture: `amd64`.
    pub architecture: String,
    /// The [`request_digest`] of the request: the lock of another request is stale.
    pub request: String,
    /// The newest date of the suites' Release files, seconds since 1970.
    pub date: i64,
    /// The suites that the packages are from.
    pub suites: Vec<LockedSuite>,
    /// The profile's tar sets, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<LockedSet>,
    /// Users and groups that the packages created; recorded while they are configured.
    #[serde(default, skip_serializing_if = "Ids::is_empty")]
    pub ids: Ids,
    /// The image's packages, sorted by name.
    pub packages: Vec<LockedPackage>,
    /// Packages whose programs the build runs or whose boot files it copies, sorted by name. The list is complete: a
    /// package that is also in the image is in both lists.
    #[serde(default)]
    pub tools: Vec<LockedPackage>,
    /// The locks of the guest images that the image holds, in the profile's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guests: Vec<Lock>,
}

/// A suite as it was when the lock was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedSuite {
    /// `debian` or `debian-security`.
    pub archive: String,
    /// `trixie`, `trixie-updates` …
    pub name: String,
    /// SHA-256 of its InRelease file, or of its Release file if there is no InRelease.
    pub inrelease_sha256: Sha256,
    /// Seconds since 1970.
    pub date: i64,
    /// Fingerprints of the keys that signed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<String>,
    /// Fingerprints of all keys in the archive's own key file, which are the only ones accepted; empty if it has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
}

/// A package, identified by its exact bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedPackage {
    /// The package's name.
    pub name: String,
    /// Its version (deb-version(7)).
    pub version: String,
    /// The lock's architecture, or `all`.
    pub architecture: String,
    /// SHA-256 of its file.
    pub sha256: Sha256,
    /// Size of its file in bytes.
    pub size: u64,
    /// The archive that has it (`debian`, `debian-security`) and the path in its pool.
    pub archive: String,
    /// See `archive`.
    pub path: String,
}

/// A tar archive that is unpacked onto the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSet {
    /// The file's name without its directory.
    pub name: String,
    /// SHA-256 of the file.
    pub sha256: Sha256,
}

/// Why a lock is refused.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It does not have the format of a lock.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// A package has an invalid value.
    #[error("package {name:?} has {key} {found:?}, expected {expected}")]
    Package {
        /// The package.
        name: String,
        /// The key.
        key: &'static str,
        /// The value.
        found: String,
        /// What the key accepts.
        expected: &'static str,
    },
    /// A list is not sorted or contains a name twice.
    #[error("{list} holds {second:?} after {first:?}, expected each name once and in order")]
    Order {
        /// The list's key.
        list: &'static str,
        /// The name before.
        first: String,
        /// The name after.
        second: String,
    },
    /// Its ids contradict each other.
    #[error(transparent)]
    Ids(#[from] IdsError),
}

impl Lock {
    /// The lock of the packages resolved from `indices`, which contain a suite once per component.
    pub fn new(
        profile: &str,
        architecture: &str,
        request: String,
        indices: &[SuiteIndex],
        packages: Vec<LockedPackage>,
        tools: Vec<LockedPackage>,
    ) -> Self {
        let mut suites: Vec<LockedSuite> = vec![];
        for index in indices {
            let suite = LockedSuite::from(index);
            if !suites.contains(&suite) {
                suites.push(suite);
            }
        }
        Self {
            request,
            date: suites.iter().map(|suite| suite.date).max().unwrap_or(0),
            suites,
            packages,
            tools,
            ..Self::empty(profile, architecture)
        }
    }

    /// An empty lock.
    fn empty(profile: &str, architecture: &str) -> Self {
        Self {
            schema: Schema::CURRENT,
            profile: profile.to_owned(),
            architecture: architecture.to_owned(),
            request: String::new(),
            date: 0,
            suites: Vec::new(),
            sets: Vec::new(),
            ids: Ids::default(),
            packages: Vec::new(),
            tools: Vec::new(),
            guests: Vec::new(),
        }
    }

    /// The file's text: TOML with one table per package, so that a diff is easy to review.
    pub fn render(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Parses a lock, which a person or a merge may have edited.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let lock: Self = toml::from_str(text)?;
        lock.check()?;
        Ok(lock)
    }

    fn check(&self) -> Result<(), LockError> {
        for (list, packages) in [("packages", &self.packages), ("tools", &self.tools)] {
            for pair in packages.windows(2) {
                if pair[0].name >= pair[1].name {
                    let (first, second) = (pair[0].name.clone(), pair[1].name.clone());
                    return Err(LockError::Order { list, first, second });
                }
            }
            packages.iter().try_for_each(LockedPackage::check)?;
        }
        self.ids.check()?;
        self.guests.iter().try_for_each(Self::check)
    }
}

impl LockedPackage {
    fn check(&self) -> Result<(), LockError> {
        let wrong = |key, found: &str, expected| {
            Err(LockError::Package { name: self.name.clone(), key, found: found.to_owned(), expected })
        };
        if !is_package_name(&self.name) {
            return wrong("name", &self.name, "lower-case letters, digits and + - .");
        }
        if Version::parse(&self.version).is_err() {
            return wrong("version", &self.version, "a Debian version");
        }
        if !is_package_name(&self.architecture) {
            return wrong("architecture", &self.architecture, "an architecture's name");
        }
        if !is_pool_path(&self.path) {
            return wrong("path", &self.path, "a path below the archive's root");
        }
        Ok(())
    }
}

impl LockedPackage {
    /// The locked package of a chosen record, whose file has this SHA-256.
    pub fn new(record: &Record<'_>, sha256: Sha256) -> Self {
        Self {
            name: record.name.to_owned(),
            version: record.version.to_string(),
            architecture: record.architecture.to_owned(),
            sha256,
            size: record.size,
            archive: record.archive.to_owned(),
            path: record.path.to_owned(),
        }
    }
}

impl From<&SuiteIndex> for LockedSuite {
    fn from(index: &SuiteIndex) -> Self {
        Self {
            archive: index.archive.clone(),
            name: index.suite.clone(),
            inrelease_sha256: index.inrelease_sha256,
            date: index.date,
            signed_by: index.signed_by.clone(),
            key: index.key.clone(),
        }
    }
}

/// A SHA-256 over every input of a resolution except the archives' content.
pub fn request_digest(suites: &[Suite], archives: &Archives, image: &Request<'_>, tools: &Request<'_>) -> String {
    let mut text = String::new();
    for suite in suites {
        text += &format!("suite {} {} {}\n", suite.archive, suite.name, suite.components.join(" "));
        match archives.admission(&suite.archive, suites) {
            Admission::All => {}
            Admission::Additional => text += "additional\n",
            Admission::Named(patterns) => text += &format!("only {}\n", patterns.join(" ")),
        }
    }
    for (list, request) in [("image", image), ("tools", tools)] {
        let base = match request.base {
            BaseSet::None => "none",
            BaseSet::Essential => "essential",
            BaseSet::Required => "required",
        };
        let respect = request.conflicts == Conflicts::Respect;
        text += &format!("{list} {} {base} {} {respect}\n", request.architecture, request.recommends);
        for package in request.packages {
            text += &format!("package {} {}\n", package.name, package.version.as_deref().unwrap_or(""));
        }
        for supplied in request.supplied {
            text += &format!("supplied {} {} {}\n", supplied.name, supplied.version, supplied.provides.join(", "));
        }
    }
    sha256::of(text).to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    pub(super) fn lock() -> Lock {
        let package = |name: &str| LockedPackage {
            name: name.to_owned(),
            version: "1:2.0-3".to_owned(),
            architecture: "amd64".to_owned(),
            sha256: [0xaa; 32].into(),
            size: 7,
            archive: "debian".to_owned(),
            path: format!("pool/main/{name}.deb"),
        };
        let suite = LockedSuite {
            archive: "debian".to_owned(),
            name: "trixie".to_owned(),
            inrelease_sha256: [0xbb; 32].into(),
            date: 1_700_000_000,
            signed_by: vec!["E".repeat(40)],
            key: vec!["E".repeat(40)],
        };
        Lock {
            schema: Schema::CURRENT,
            profile: "host".to_owned(),
            architecture: "amd64".to_owned(),
            request: "c".repeat(64),
            date: 1_700_000_000,
            suites: vec![suite],
            sets: vec![LockedSet { name: "base.tgz".to_owned(), sha256: [0xdd; 32].into() }],
            ids: Ids { users: [("a".to_owned(), 999)].into(), groups: [("a".to_owned(), 101)].into() },
            packages: vec![package("a"), package("b")],
            tools: vec![package("a")],
            guests: Vec::new(),
        }
    }

    #[test]
    fn what_is_rendered_reads_back() {
        let mut lock = lock();
        lock.guests = vec![lock.clone(), lock.clone()];
        let text = lock.render().expect("a text");
        assert_eq!(Lock::parse(&text).expect("a lock"), lock);
    }

    #[test]
    fn refuses_what_a_merge_may_leave() {
        refuses(&lock());
        // The same applies to a guest's lock.
        let empty = Lock { packages: Vec::new(), tools: Vec::new(), suites: Vec::new(), ..lock() };
        refuses(&Lock { guests: vec![lock()], ..empty });
    }

    fn refuses(lock: &Lock) {
        let text = lock.render().expect("a text");
        for (from, to, message) in [
            ("schema = 1", "schema = 2", "schema version 2"),
            ("name = \"b\"", "name = \"a\"", "\"a\" after \"a\""),
            ("aaaa\"", "aaa\"", "expected a SHA-256: 64 hexadecimal digits"),
            ("pool/main/b.deb", "../b.deb", "has path"),
            ("1:2.0-3", "1:2.0-3 ", "has version"),
            ("size = 7", "size = 7\nextra = 1", "extra"),
            ("a = 999", "a = 999\nb = 999", "both 999"),
        ] {
            let error = Lock::parse(&text.replace(from, to)).expect_err(message).to_string();
            assert!(error.contains(message), "{error}: expected {message}");
        }
    }

    #[test]
    fn the_digest_tells_requests_apart() {
        let request = |recommends| Request {
            architecture: "amd64",
            packages: &[],
            base: BaseSet::Required,
            recommends,
            conflicts: Conflicts::Respect,
            supplied: &[],
            keep: const { &BTreeMap::new() },
        };
        let digest = |recommends| request_digest(&[], &Archives::default(), &request(recommends), &request(false));
        assert_eq!(digest(true), digest(true));
        assert_ne!(digest(true), digest(false));
    }
}
