//! The package files of a lock: from the cache, or downloaded from their archive into it.

mod missing_sha256;

pub use missing_sha256::sha256_of;

use super::http::{Client, HttpError, PARALLEL};
use super::transfer::{Sink, Size, Stop};
use super::url::Url;
use crate::cache::{Cache, CacheError, Claim, FileKind, Part};
use crate::packages::archive::locations::Archives;
use crate::packages::error::{FetchError, PackageError};
use crate::packages::lock::LockedPackage;
use crate::progress::{Progress, Stage, Unit};
use crate::util::poison::Unpoisoned;
use appliance_contract::Sha256;
use appliance_contract::causes::WithCauses as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Fetches the files that the cache lacks and verifies all files by size and SHA-256. Returns them in the order of
/// `packages`. On an error the files fetched so far stay cached, and the next run resumes.
pub fn download(
    packages: &[LockedPackage],
    archives: &Archives,
    cache: &Cache,
    client: &Client,
    progress: &dyn Progress,
) -> Result<Vec<PathBuf>, FetchError> {
    // An image and its tools may share packages; each is fetched once.
    let mut seen = BTreeSet::new();
    let mut order: Vec<&LockedPackage> = packages.iter().filter(|package| seen.insert(package.sha256)).collect();
    // Largest first, so that the last transfer to finish is a small one.
    order.sort_by_key(|package| std::cmp::Reverse(package.size));
    progress.stage(Stage::Download, order.iter().map(|package| package.size).sum(), Unit::Bytes);

    let (next, stop) = (AtomicUsize::new(0), Stop::default());
    let files: Mutex<BTreeMap<Sha256, PathBuf>> = Mutex::default();
    let missing: Mutex<Vec<String>> = Mutex::default();
    let failure: Mutex<Option<FetchError>> = Mutex::default();
    let work = || {
        while !stop.is_set() {
            let Some(&package) = order.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            let fetched = if client.is_offline() {
                cached(package, cache, progress)
            } else {
                fetch(package, archives, cache, client, progress, &stop).map(Some)
            };
            match fetched {
                Ok(Some(path)) => drop(files.lock().unpoisoned().insert(package.sha256, path)),
                // The message includes the hash: the cache may have the same version with different bytes.
                Ok(None) => missing.lock().unpoisoned().push(named(package)),
                Err(PackageError::Transfer(HttpError::Stopped { .. })) => return,
                Err(source) => {
                    stop.now();
                    failure.lock().unpoisoned().get_or_insert(failed(package, source));
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL.min(order.len()) {
            scope.spawn(work);
        }
    });
    if let Some(failure) = failure.lock().unpoisoned().take() {
        return Err(failure);
    }
    let mut names = std::mem::take(&mut *missing.lock().unpoisoned());
    if !names.is_empty() {
        names.sort();
        return Err(FetchError::NotCached { names });
    }
    cache.remove_expired(std::time::SystemTime::now());
    let files = files.lock().unpoisoned();
    // Every digest has a file: failures and missing packages returned above.
    Ok(packages.iter().filter_map(|package| files.get(&package.sha256).cloned()).collect())
}

/// Whether all packages are cached; checks sizes only.
pub fn are_here(packages: &[LockedPackage], cache: &Cache) -> bool {
    packages.iter().all(|package| cache.has(FileKind::Package, package.sha256, package.size))
}

fn failed(package: &LockedPackage, source: PackageError) -> FetchError {
    failed_as(full_name(package), source)
}

fn failed_as(package: String, source: PackageError) -> FetchError {
    FetchError::Package { package, source: Box::new(source) }
}

fn full_name(package: &LockedPackage) -> String {
    full_name_of(&package.name, &package.version)
}

fn full_name_of(name: &str, version: &str) -> String {
    format!("{name} {version}")
}

fn cached(package: &LockedPackage, cache: &Cache, progress: &dyn Progress) -> Result<Option<PathBuf>, PackageError> {
    let was_there = cache.path(FileKind::Package, package.sha256).exists();
    let path = cache.get(FileKind::Package, package.sha256, package.size)?;
    match &path {
        Some(_) => progress.advance(package.size),
        None if was_there => damaged(package.sha256, cache, progress),
        None => {}
    }
    Ok(path)
}

/// Name, version and the first bytes of the hash.
fn named(package: &LockedPackage) -> String {
    format!("{} (SHA-256 {}…)", full_name(package), hex::encode(&package.sha256.as_bytes()[..6]))
}

/// Warns, because a corrupted cache file may mean a failing disk.
fn damaged(digest: Sha256, cache: &Cache, progress: &dyn Progress) {
    let path = cache.path(FileKind::Package, digest);
    progress.warn(&format!("{} was damaged: it had another SHA-256 than when it was kept; removed", path.display()));
}

fn fetch(
    package: &LockedPackage,
    archives: &Archives,
    cache: &Cache,
    client: &Client,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<PathBuf, PackageError> {
    let was_there = cache.path(FileKind::Package, package.sha256).exists();
    let waiting = || progress.item(&format!("{}: waiting for another build that fetches it", package.name));
    let mut part = match cache.claim(FileKind::Package, package.sha256, package.size, &waiting)? {
        Claim::Whole(path) => {
            progress.advance(package.size);
            return Ok(path);
        }
        Claim::Part(part) => part,
    };
    if was_there {
        damaged(package.sha256, cache, progress);
    }
    let url: Url = archives.base(&package.archive)?.join(&package.path)?;
    progress.item(&package.name);
    let told = part.position();
    progress.advance(told);
    let mut sink = Told { part: &mut part, told, progress };
    let mut again = true;
    loop {
        client.fetch(&url, &mut sink, Size::Exactly(package.size), stop)?;
        match sink.part.finish(package.sha256) {
            Ok(path) => {
                progress.detail(&format!("fetched {url}"));
                return Ok(path);
            }
            // A partial file of an earlier run or a proxy's cache may be the cause: retry once, from the start.
            Err(error @ CacheError::Mismatch { .. }) if again => {
                progress.warn(&format!("{url}: {}; fetching it again", error.with_causes()));
                again = false;
            }
            Err(source @ CacheError::Mismatch { .. }) => return Err(PackageError::Content { url, source }),
            Err(other) => return Err(other.into()),
        }
    }
}

/// Reports each byte to the progress once, even if it is fetched again.
struct Told<'a> {
    part: &'a mut Part,
    told: u64,
    progress: &'a dyn Progress,
}

impl Sink for Told<'_> {
    fn position(&self) -> u64 {
        self.part.position()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), HttpError> {
        self.part.write(bytes)?;
        if let Some(more) = self.part.position().checked_sub(self.told) {
            self.progress.advance(more);
            self.told = self.part.position();
        }
        Ok(())
    }

    fn restart(&mut self) -> Result<(), HttpError> {
        self.part.restart()
    }
}

#[cfg(test)]
mod tests;
