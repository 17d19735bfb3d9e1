//! The stage that resolves: from the packages that a profile requests to a lock.

use super::lockfile::{self, LockChoice, LockedVersions, Update};
use super::{BuildError, BuildRequest};
use crate::packages::archive::index::{Index, Record, Source};
use crate::packages::deb::Deb;
use crate::packages::fetch::download::sha256_of;
use crate::packages::lock::request_digest;
use crate::packages::resolver::{BaseSet, Conflicts, Request, Resolution, ResolveError, Supplied, resolve};
use crate::packages::{
    Lock, LockedPackage, LockedSet, LockedSuite, RefreshRequest, SuiteIndex, SuiteWanted, download, refresh,
};
use crate::profile::{Origin, PackageRequest, TarSet};
use crate::progress::{Progress, Stage, Unit};
use crate::util::sha256;
use appliance_contract::Sha256;
use std::collections::BTreeMap;

/// Packages whose programs the build runs or whose boot files it copies. base-files has the symlinks of the merged
/// /usr, without which no program starts; shim-helpers contains MokManager.
const TOOLS: [&str; 7] = [
    "base-files",
    "grub-common",
    "grub-efi-amd64-bin",
    "grub-efi-amd64-signed",
    "grub-pc-bin",
    "shim-helpers-amd64-signed",
    "shim-signed",
];

/// A profile whose packages are known, each by its SHA-256.
#[derive(Debug)]
pub struct Resolved {
    pub(super) request: BuildRequest,
    pub(super) lock: Lock,
    /// The lock as it is in its file.
    pub(super) previous_lock: Option<Lock>,
    /// The lock equals the one in its file, including the ids.
    pub(super) lock_unchanged: bool,
    /// The text of the lock, as it is published next to the image.
    pub(super) lock_text: String,
    pub(super) lock_sha256: Sha256,
    /// Seconds since 1970: the time of all files that the build itself makes.
    pub(super) source_date: i64,
    /// The guest images that the image includes.
    pub(super) guests: Vec<Resolved>,
}

impl BuildRequest {
    /// Uses the lock if it is complete; otherwise asks the archives for what it lacks.
    pub fn resolve(self, progress: &dyn Progress) -> Result<Resolved, BuildError> {
        progress.image(&self.profile.name);
        progress.stage(Stage::Resolve, 0, Unit::Packages);
        let path = self.lock.path().to_owned();
        let previous_lock = lockfile::read(&path)?;
        let difference = previous_lock.as_ref().and_then(|lock| self.lock_difference(lock));
        let lock = match (&self.lock, &previous_lock, difference) {
            (LockChoice::Exactly(_), None, _) => {
                let hint = format!("make one: applbuild lock --profile {}", self.profile.name);
                return Err(BuildError::StaleLock { path, difference: "is not there".to_owned(), hint });
            }
            (LockChoice::Exactly(_), Some(_), Some(difference)) => {
                let hint = format!("update it: applbuild lock --profile {}", self.profile.name);
                return Err(BuildError::StaleLock { path, difference, hint });
            }
            (LockChoice::Exactly(_) | LockChoice::Own { update: Update::Needed, .. }, Some(lock), None) => lock.clone(),
            (LockChoice::Own { .. }, _, difference) if self.client.is_offline() => {
                let difference = difference.unwrap_or_else(|| match previous_lock {
                    Some(_) => "would be updated".to_owned(),
                    None => "is not there".to_owned(),
                });
                let hint = "this needs the archives: drop --offline".to_owned();
                return Err(BuildError::StaleLock { path, difference, hint });
            }
            (LockChoice::Own { update, .. }, old, difference) => {
                if let Some(difference) = difference.filter(|_| *update == Update::Needed) {
                    progress.warn(&format!("the lock {} {difference}; updating it", path.display()));
                }
                if let (Some(old), Update::Packages(names)) = (old, update) {
                    lockfile::check_names(old, names)?;
                }
                self.ask(old.as_ref(), update, progress)?
            }
        };
        self.with_lock(lock, previous_lock)
    }

    /// The profile with its lock, and the guests with their locks in it.
    fn with_lock(mut self, lock: Lock, previous_lock: Option<Lock>) -> Result<Resolved, BuildError> {
        let source_date = self.profile.source_date_epoch.or(self.source_date_epoch).unwrap_or(lock.date);
        let mut guests = Vec::new();
        for (guest, lock) in self.profile.guests.iter().zip(&lock.guests) {
            let previous = previous_lock.as_ref().and_then(|host| lockfile::of_guest(host, &guest.name)).cloned();
            guests.push(self.of_guest(guest).with_lock(lock.clone(), previous)?);
        }
        self.profile.source_date_epoch = Some(source_date);
        let lock_unchanged = previous_lock.as_ref() == Some(&lock);
        // A changed lock needs the guests in any case: it contains the ids of their users.
        if lock_unchanged && !self.kind.includes_guests() {
            guests.clear();
        }
        let (lock_text, lock_sha256) = Default::default();
        let mut resolved = Resolved {
            request: self,
            lock,
            previous_lock,
            lock_unchanged,
            lock_text,
            lock_sha256,
            source_date,
            guests,
        };
        resolved.render()?;
        Ok(resolved)
    }

    /// How the lock differs from what the profile needs, as a predicate of the lock; `None` if it matches.
    fn lock_difference(&self, lock: &Lock) -> Option<String> {
        let profile = &self.profile;
        if lock.profile != profile.name {
            return Some(format!("is of the profile {}", lock.profile));
        }
        if lock.architecture != profile.architecture.debian() {
            return Some(format!("is for {}", lock.architecture));
        }
        if lock.sets != self.sets() {
            return Some("has other sets than the profile".to_owned());
        }
        if let Some(moved) = lock.suites.iter().find_map(|suite| self.moved_key(suite)) {
            return Some(moved);
        }
        let asked = self.requests(|image, tools| request_digest(&profile.suites, &self.archives, image, tools));
        if lock.request == asked {
            if !profile.guests.iter().map(|guest| &guest.name).eq(lock.guests.iter().map(|lock| &lock.profile)) {
                return Some("has other guests than the profile".to_owned());
            }
            let mut guests = profile.guests.iter().zip(&lock.guests);
            return guests.find_map(|(guest, lock)| {
                let difference = self.of_guest(guest).lock_difference(lock)?;
                Some(format!("{difference} (its guest {})", guest.name))
            });
        }
        let has = |name: &str| lock.packages.iter().any(|package| package.name == name);
        let lacks: Vec<&str> =
            profile.packages.iter().map(|package| package.name.as_str()).filter(|name| !has(name)).collect();
        Some(match lacks.as_slice() {
            [] => "does not match what the profile requests now".to_owned(),
            lacks => format!("lacks {}, which the profile requests now", lacks.join(", ")),
        })
    }

    /// How the keys of an archive have changed since a suite was locked.
    fn moved_key(&self, suite: &LockedSuite) -> Option<String> {
        let archive = &suite.archive;
        if !self.profile.suites.iter().any(|wanted| wanted.archive == *archive && wanted.name == suite.name) {
            return None;
        }
        let own = self.archives.key(archive);
        let now = own.map(|key| key.keyring.sorted_fingerprints()).unwrap_or_default();
        let locked = suite.key.join(", ");
        match own {
            _ if now == suite.key => None,
            Some(key) if suite.key.is_empty() => {
                Some(format!("was made when the archive {archive} had no key of its own; now it has {}", key.file))
            }
            Some(key) => Some(format!(
                "was made with other keys of the archive {archive}: {locked}; now {} has {}",
                key.file,
                now.join(", ")
            )),
            None => Some(format!("was made with the keys {locked} of the archive {archive}, which has none now")),
        }
    }

    fn sets(&self) -> Vec<LockedSet> {
        let locked = |set: &TarSet| LockedSet {
            name: set.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            sha256: set.sha256,
        };
        self.profile.sets.iter().map(locked).collect()
    }

    fn ask(&self, old: Option<&Lock>, update: &Update, progress: &dyn Progress) -> Result<Lock, BuildError> {
        let architecture = self.profile.architecture.debian();
        let mut kept = match old {
            Some(old) => LockedVersions::new(old, update),
            None => LockedVersions::default(),
        };
        let indices = self.indices(old.map_or(&[], |old| &old.suites), progress)?;
        let admission = |archive: &str| self.archives.admission(archive, &self.profile.suites);
        let mut sources: Vec<Source<'_>> =
            indices.iter().map(|index| Source::new(index, admission(&index.archive))).collect();
        let mut index = Index::read(&sources, architecture);
        let gone = match old {
            Some(old) => kept.missing(old, &index),
            None => Vec::new(),
        };
        let paragraphs = self.paragraphs(&gone, progress)?;
        if !paragraphs.is_empty() {
            let first = paragraphs.iter().map(|(archive, text)| Source {
                archive,
                suite: "(as locked)",
                automatic: true,
                packages: text.as_bytes(),
                admission: admission(archive),
            });
            sources = first.chain(sources).collect();
            index = Index::read(&sources, architecture);
        }
        warn_of_ignored(&index, progress);
        progress.item("dependencies");
        let LockedVersions { packages, tools } = &mut kept;
        let found = self.requests(|image, needed| {
            let digest = request_digest(&self.profile.suites, &self.archives, image, needed);
            let packages = resolve_keeping(&index, image, packages)?;
            let tools = resolve_keeping(&index, needed, tools)?;
            let packages = self.packages(&packages, progress)?;
            let tools = self.packages(&tools, progress)?;
            Ok::<_, BuildError>(Lock::new(&self.profile.name, architecture, digest, &indices, packages, tools))
        })?;
        let mut guests = Vec::new();
        for guest in &self.profile.guests {
            let request = self.of_guest(guest);
            let old = old.and_then(|old| lockfile::of_guest(old, &guest.name));
            guests.push(match old {
                Some(old) if *update == Update::Needed && request.lock_difference(old).is_none() => old.clone(),
                old => request.ask(old, update, progress)?,
            });
        }
        Ok(Lock { sets: self.sets(), ids: old.map(|old| old.ids.clone()).unwrap_or_default(), guests, ..found })
    }

    /// The indices of the profile's suites, none of which may be older than `locked` says.
    pub(super) fn indices(
        &self,
        locked: &[LockedSuite],
        progress: &dyn Progress,
    ) -> Result<Vec<SuiteIndex>, BuildError> {
        let suites: Vec<SuiteWanted> = self.profile.suites.iter().map(wanted).collect();
        let request = RefreshRequest {
            suites: &suites,
            architecture: self.profile.architecture.debian(),
            archives: &self.archives,
            keyring: &self.keyring,
            cache: &self.cache,
            client: &self.client,
            now: self.now,
            check_age: true,
            locked,
            allow_older: self.allow_older,
        };
        progress.image(&self.profile.name);
        Ok(refresh(&request, progress)?)
    }

    /// What was resolved, as the lock has it.
    fn packages(&self, resolution: &Resolution<'_>, progress: &dyn Progress) -> Result<Vec<LockedPackage>, BuildError> {
        let locked = |record: &&Record<'_>| {
            let sha256 = sha256_of(record, &self.archives, &self.cache, &self.client, progress)?;
            Ok(LockedPackage::new(record, sha256))
        };
        resolution.packages.iter().map(locked).collect()
    }

    /// `Packages` paragraphs of the locked packages that no index lists any more, for each archive. They are made from
    /// the package files.
    fn paragraphs(
        &self,
        gone: &[LockedPackage],
        progress: &dyn Progress,
    ) -> Result<BTreeMap<String, String>, BuildError> {
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        if gone.is_empty() {
            return Ok(texts);
        }
        let files = download(gone, &self.archives, &self.cache, &self.client, progress).map_err(|source| {
            BuildError::PackagesUnavailable {
                names: gone.iter().map(|package| package.name.clone()).collect(),
                source: Box::new(source),
            }
        })?;
        for (package, file) in gone.iter().zip(files) {
            let text = Deb::open(&file).and_then(|deb| deb.paragraph(package)).map_err(|source| {
                BuildError::UnreadablePackage { name: package.name.clone(), source: Box::new(source) }
            })?;
            texts.entry(package.archive.clone()).or_default().push_str(&text);
        }
        Ok(texts)
    }

    /// Calls `with` with the resolver's requests for the image and for the tools.
    fn requests<T>(&self, with: impl FnOnce(&Request<'_>, &Request<'_>) -> T) -> T {
        let nothing = BTreeMap::new();
        let tool = |name: &&str| PackageRequest {
            name: (*name).to_owned(),
            version: None,
            origin: Origin { file: "applbuild's own tools".to_owned(), line: 1 },
        };
        let tools: Vec<PackageRequest> = TOOLS.iter().map(tool).collect();
        let supplied = [Supplied {
            name: "applbuild-initramfs".to_owned(),
            version: "1.0".to_owned(),
            provides: vec!["linux-initramfs-tool".to_owned()],
        }];
        let architecture = self.profile.architecture.debian();
        let image = Request {
            architecture,
            packages: &self.profile.packages,
            base: if self.profile.packages.is_empty() { BaseSet::None } else { BaseSet::Required },
            recommends: self.profile.recommends,
            conflicts: Conflicts::Respect,
            supplied: &supplied,
            keep: &nothing,
        };
        let tools = Request {
            architecture,
            packages: &tools,
            base: BaseSet::None,
            recommends: false,
            conflicts: Conflicts::Ignore,
            supplied: &[],
            keep: &nothing,
        };
        with(&image, &tools)
    }
}

impl Resolved {
    /// Updates text and hash; must be called after the lock has changed.
    pub(super) fn render(&mut self) -> Result<(), BuildError> {
        self.lock_text = self.lock.render().map_err(|source| BuildError::RenderLock { source })?;
        self.lock_sha256 = sha256::of(&self.lock_text);
        Ok(())
    }
}

/// Tells of records that are wrong: nobody who wants another package needs to know more than that.
fn warn_of_ignored(index: &Index<'_>, progress: &dyn Progress) {
    const SHOWN: usize = 3;
    let ignored = index.all_ignored().filter(|ignored| !ignored.fault.is_choice());
    let ignored: Vec<String> = ignored.map(ToString::to_string).collect();
    ignored.iter().take(SHOWN).for_each(|text| progress.warn(text));
    if let Some(more @ 1..) = ignored.len().checked_sub(SHOWN) {
        progress.warn(&format!("{more} more records cannot be used"));
    }
}

/// Resolves with the versions in `keep`. Versions that make the request unsatisfiable are removed from `keep`.
fn resolve_keeping<'a>(
    index: &'a Index<'a>,
    request: &Request<'_>,
    keep: &mut BTreeMap<String, String>,
) -> Result<Resolution<'a>, ResolveError> {
    loop {
        match resolve(index, &Request { keep, ..*request }) {
            Err(ResolveError::Unsatisfiable { involved, .. })
                if involved.iter().any(|name| keep.contains_key(name)) =>
            {
                keep.retain(|name, _| !involved.contains(name));
            }
            resolved => return resolved,
        }
    }
}

fn wanted(suite: &crate::profile::Suite) -> SuiteWanted {
    SuiteWanted { archive: suite.archive.clone(), name: suite.name.clone(), components: suite.components.clone() }
}
