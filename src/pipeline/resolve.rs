//! From what a profile asks for to the exact packages.

use super::{BuildError, Order};
use crate::packages::index::{Index, Source};
use crate::packages::lock::request_digest;
use crate::packages::resolver::{BaseSet, Conflicts, Request, Supplied, resolve};
use crate::packages::{Lock, RefreshRequest, SuiteWanted, refresh};
use crate::profile::{Origin, PackageRequest};
use crate::progress::{Progress, Stage, Unit};
use sha2::{Digest, Sha256};

/// What the build runs or copies boot files from. base-files has the links of
/// the merged /usr, without which no program starts; shim's helpers hold MokManager.
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
    pub(super) order: Order,
    pub(super) lock: Lock,
    /// The lock's file, as it stands beside the image.
    pub(super) lock_text: String,
    pub(super) lock_sha256: [u8; 32],
    /// Seconds since 1970, in all of the image's own files.
    pub(super) source_date: i64,
    /// The guest images that the image holds.
    pub(super) guests: Vec<Resolved>,
}

impl Order {
    /// Takes the lock that was given, or asks the archives.
    pub fn resolve(self, progress: &dyn Progress) -> Result<Resolved, BuildError> {
        let lock = match &self.lock {
            Some(path) => {
                progress.stage(Stage::Resolve, 0, Unit::Packages);
                let text = std::fs::read_to_string(path).map_err(|source| BuildError::Io {
                    attempt: "reading the lock",
                    path: path.clone(),
                    source,
                })?;
                let lock = Lock::parse(&text).map_err(|source| BuildError::Lock { path: path.clone(), source })?;
                self.check(&lock, path)?;
                lock
            }
            None => self.ask(progress)?,
        };
        self.locked(lock)
    }

    /// The profile with its lock, the guests with those in it.
    fn locked(mut self, lock: Lock) -> Result<Resolved, BuildError> {
        let lock_text = lock.render().map_err(BuildError::RenderLock)?;
        let lock_sha256 = Sha256::digest(&lock_text).into();
        let source_date = self.profile.source_date_epoch.or(self.source_date_epoch).unwrap_or(lock.date);
        let guests = self.profile.guests.iter().zip(&lock.guests);
        let guests = guests.map(|(guest, lock)| self.of_guest(guest).locked(lock.clone())).collect::<Result<_, _>>()?;
        self.profile.source_date_epoch = Some(source_date);
        Ok(Resolved { order: self, lock, lock_text, lock_sha256, source_date, guests })
    }

    /// Whether the lock answers this profile and those of its guests.
    fn check(&self, lock: &Lock, path: &std::path::Path) -> Result<(), BuildError> {
        let wanted = self.requests(|image, tools| request_digest(&self.profile.suites, image, tools));
        let guests = &self.profile.guests;
        let names = guests.iter().map(|guest| &guest.name).eq(lock.guests.iter().map(|lock| &lock.profile));
        if lock.request != wanted || lock.architecture != self.profile.architecture.debian() || !names {
            let (path, profile) = (path.to_owned(), self.profile.name.clone());
            return Err(BuildError::StaleLock { path, profile, of: lock.profile.clone() });
        }
        guests.iter().zip(&lock.guests).try_for_each(|(guest, lock)| self.of_guest(guest).check(lock, path))
    }

    fn ask(&self, progress: &dyn Progress) -> Result<Lock, BuildError> {
        let architecture = self.profile.architecture.debian();
        let suites: Vec<SuiteWanted> = self.profile.suites.iter().map(wanted).collect();
        let request = RefreshRequest {
            suites: &suites,
            architecture,
            archives: &self.archives,
            keyring: &self.keyring,
            cache: &self.cache,
            client: &self.client,
            now: self.now,
            check_age: true,
        };
        let indices = refresh(&request, progress)?;
        let sources: Vec<Source<'_>> = indices.iter().map(Source::from).collect();
        let index = Index::read(&sources, architecture)?;
        let mut lock = self.requests(|image, tools| {
            progress.item("dependencies");
            let packages = resolve(&index, image)?;
            let needed = resolve(&index, tools)?;
            let digest = request_digest(&self.profile.suites, image, tools);
            Ok::<_, BuildError>(Lock::new(&self.profile.name, architecture, digest, &indices, &packages, &needed))
        })?;
        for guest in &self.profile.guests {
            lock.guests.push(self.of_guest(guest).ask(progress)?);
        }
        Ok(lock)
    }

    /// What is asked of the resolver for the image, and for the tools.
    fn requests<T>(&self, with: impl FnOnce(&Request<'_>, &Request<'_>) -> T) -> T {
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
        };
        let tools = Request {
            architecture,
            packages: &tools,
            base: BaseSet::None,
            recommends: false,
            conflicts: Conflicts::Ignore,
            supplied: &[],
        };
        with(&image, &tools)
    }
}

fn wanted(suite: &crate::profile::Suite) -> SuiteWanted {
    SuiteWanted { archive: suite.archive.clone(), name: suite.name.clone(), components: suite.components.clone() }
}
