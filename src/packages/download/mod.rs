//! The package files of a lock: from the cache, or from their archive into it.

mod learn;

pub use learn::sha256_of;

use super::archives::Archives;
use super::cache::{Cache, CacheError, Claim, Kind, Part};
use super::digest::Digest;
use super::error::{FetchError, PackageError};
use super::http::{Client, HttpError, PARALLEL};
use super::lock::LockedPackage;
use super::transfer::{Sink, Size, Stop};
use super::url::Url;
use crate::progress::{Progress, Stage, Unit};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Fetches what the cache lacks and verifies all, by size and SHA-256. Gives the files in the
/// order of `packages`. On an error what is there already stays, and the next run goes on from it.
pub fn download(
    packages: &[LockedPackage],
    archives: &Archives,
    cache: &Cache,
    client: &Client,
    progress: &dyn Progress,
) -> Result<Vec<PathBuf>, FetchError> {
    let digests: Vec<Digest> = packages.iter().map(digest).collect::<Result<_, _>>()?;
    // An image and its tools may share packages; each is fetched once.
    let mut seen = BTreeSet::new();
    let mut order: Vec<(Digest, &LockedPackage)> = digests.iter().copied().zip(packages).collect();
    order.retain(|(digest, _)| seen.insert(*digest));
    // The largest first, so that the last one running is a small one.
    order.sort_by_key(|(_, package)| std::cmp::Reverse(package.size));
    progress.stage(Stage::Download, order.iter().map(|(_, package)| package.size).sum(), Unit::Bytes);

    let (next, stop) = (AtomicUsize::new(0), Stop::default());
    let files: Mutex<BTreeMap<Digest, PathBuf>> = Mutex::default();
    let missing: Mutex<Vec<String>> = Mutex::default();
    let failure: Mutex<Option<FetchError>> = Mutex::default();
    let work = || {
        while !stop.is_set() {
            let Some((digest, package)) = order.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            let fetched = if client.is_offline() {
                cached(package, *digest, cache, progress)
            } else {
                fetch(package, *digest, archives, cache, client, progress, &stop).map(Some)
            };
            match fetched {
                Ok(Some(path)) => drop(lock(&files).insert(*digest, path)),
                // The cache may have the same version, with other bytes.
                Ok(None) => lock(&missing).push(format!("{} (SHA-256 {:.12}…)", full_name(package), package.sha256)),
                Err(PackageError::Transfer(HttpError::Stopped { .. })) => return,
                Err(source) => {
                    stop.now();
                    lock(&failure).get_or_insert(failed(package, source));
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
    if let Some(failure) = lock(&failure).take() {
        return Err(failure);
    }
    let mut names = std::mem::take(&mut *lock(&missing));
    if !names.is_empty() {
        names.sort();
        return Err(FetchError::NotCached { names });
    }
    cache.tidy(std::time::SystemTime::now());
    let files = lock(&files);
    // Each digest has a file, for neither a failure nor a missing one was left.
    Ok(digests.iter().filter_map(|digest| files.get(digest).cloned()).collect())
}

/// Whether all of them are in the cache, as far as their sizes tell.
pub fn are_here(packages: &[LockedPackage], cache: &Cache) -> bool {
    packages.iter().all(|package| {
        Digest::parse(&package.sha256).is_some_and(|digest| cache.has(Kind::Package, digest, package.size))
    })
}

fn digest(package: &LockedPackage) -> Result<Digest, FetchError> {
    let wrong = || failed(package, PackageError::Digest(package.sha256.clone()));
    Digest::parse(&package.sha256).ok_or_else(wrong)
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

/// A thread that panicked leaves the data as good as it was.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn cached(
    package: &LockedPackage,
    digest: Digest,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<Option<PathBuf>, PackageError> {
    let was_there = cache.path(Kind::Package, digest).exists();
    let path = cache.get(Kind::Package, digest, package.size)?;
    match &path {
        Some(_) => progress.advance(package.size),
        None if was_there => damaged(digest, cache, progress),
        None => {}
    }
    Ok(path)
}

/// A disk that loses bytes is worth knowing of.
fn damaged(digest: Digest, cache: &Cache, progress: &dyn Progress) {
    let path = cache.path(Kind::Package, digest);
    progress.warn(&format!("{} was damaged: it had another SHA-256 than when it was kept; removed", path.display()));
}

fn fetch(
    package: &LockedPackage,
    digest: Digest,
    archives: &Archives,
    cache: &Cache,
    client: &Client,
    progress: &dyn Progress,
    stop: &Stop,
) -> Result<PathBuf, PackageError> {
    let was_there = cache.path(Kind::Package, digest).exists();
    let waiting = || progress.item(&format!("{}: waiting for another build that fetches it", package.name));
    let mut part = match cache.claim(Kind::Package, digest, package.size, &waiting)? {
        Claim::Whole(path) => {
            progress.advance(package.size);
            return Ok(path);
        }
        Claim::Part(part) => part,
    };
    if was_there {
        damaged(digest, cache, progress);
    }
    let url: Url = archives.base(&package.archive)?.join(&package.path)?;
    progress.item(&package.name);
    let told = part.position();
    progress.advance(told);
    let mut sink = Told { part: &mut part, told, progress };
    let mut again = true;
    loop {
        client.fetch(&url, &mut sink, Size::Exactly(package.size), stop)?;
        match sink.part.finish(digest) {
            Ok(path) => return Ok(path),
            // What an earlier run or a proxy left may be at fault: once more, from the start.
            Err(error @ CacheError::Mismatch { .. }) if again => {
                progress.warn(&format!("{url}: {error}; fetching it again"));
                again = false;
            }
            Err(source @ CacheError::Mismatch { .. }) => return Err(PackageError::Content { url, source }),
            Err(other) => return Err(other.into()),
        }
    }
}

/// Tells each octet once, however often it is fetched.
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
