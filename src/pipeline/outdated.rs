//! Finds the locked packages that have newer versions in the archives.

use super::{BuildError, BuildRequest, lockfile};
use crate::packages::Lock;
use crate::packages::archive::index::{Index, Source};
use crate::packages::archive::locations::is_security_suite_of;
use crate::packages::version::Version;
use crate::progress::Progress;
use std::collections::BTreeMap;

/// A locked package that has a newer version in the archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outdated {
    /// The guest that the package belongs to; `None` for the profile itself.
    pub guest: Option<String>,
    /// The package.
    pub name: String,
    /// The lock's version.
    pub locked: String,
    /// The version that an update of the lock would choose; if only security suites count, their newest version.
    pub newest: String,
    /// The archive that has `newest`.
    pub archive: String,
    /// The suite that has `newest`.
    pub suite: String,
    /// Whether a security suite has a newer version than the lock.
    pub security: bool,
}

/// Looks in the archives for newer versions of all packages that the lock of `request` has for images and for the
/// build's tools. With `only_security`, only versions in security suites count. Changes nothing.
pub fn outdated(
    request: &BuildRequest,
    only_security: bool,
    progress: &dyn Progress,
) -> Result<Vec<Outdated>, BuildError> {
    let _held = request.cache.lock_shared();
    let path = request.lock.path().to_owned();
    let Some(lock) = lockfile::read(&path)? else {
        let mend = format!("make one: applbuild lock --profile {}", request.profile.name);
        return Err(BuildError::StaleLock { path, difference: "is not there".to_owned(), hint: mend });
    };
    let mut found = request.outdated_of(&lock, None, only_security, progress)?;
    for guest in &request.profile.guests {
        if let Some(lock) = lockfile::of_guest(&lock, &guest.name) {
            let request = request.of_guest(guest);
            found.extend(request.outdated_of(lock, Some(&guest.name), only_security, progress)?);
        }
    }
    Ok(found)
}

impl BuildRequest {
    fn outdated_of(
        &self,
        lock: &Lock,
        guest: Option<&str>,
        only_security: bool,
        progress: &dyn Progress,
    ) -> Result<Vec<Outdated>, BuildError> {
        let indices = self.indices(&lock.suites, progress)?;
        let admission = |archive: &str| self.archives.admission(archive, &self.profile.suites);
        let sources: Vec<Source<'_>> =
            indices.iter().map(|index| Source::new(index, admission(&index.archive))).collect();
        let index = Index::read(&sources, &lock.architecture);
        // If a package is also a tool, the image's version takes precedence.
        let mut packages: BTreeMap<&str, &str> = BTreeMap::new();
        for package in lock.packages.iter().chain(&lock.tools) {
            packages.entry(&package.name).or_insert(&package.version);
        }
        let mut found = Vec::new();
        for (name, locked) in packages {
            // Does not fail: the versions were checked when the lock was parsed.
            let Ok(version) = Version::parse(locked) else { continue };
            let newer =
                index.versions(name).iter().map(|id| index.record(*id)).filter(|record| record.version > version);
            let newer: Vec<_> = newer.filter(|record| record.automatic).collect();
            let in_security = newer.iter().find(|record| is_security_suite_of(record.archive, record.suite));
            let security = in_security.is_some();
            let newest = if only_security { in_security } else { newer.first() };
            found.extend(newest.map(|record| Outdated {
                guest: guest.map(str::to_owned),
                name: name.to_owned(),
                locked: locked.to_owned(),
                newest: record.version.to_string(),
                archive: record.archive.to_owned(),
                suite: record.suite.to_owned(),
                security,
            }));
        }
        Ok(found)
    }
}
