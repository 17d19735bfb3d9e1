//! Package files, read on all cores; who waits for some of them goes on while
//! the others are still being read.

use super::error::{AssembleError, io_at};
use super::package::Package;
use super::unpack::Files;
use crate::packages::LockedPackage;
use crate::progress::Progress;
use crate::tree::in_parallel;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// Packages by their place in the lock.
pub type Packages = BTreeMap<usize, Package>;

/// Packages as they come.
#[derive(Debug)]
pub struct Reading<'a> {
    staged: &'a Path,
    read: Receiver<(usize, Result<Package, AssembleError>)>,
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn file_of<'f>(locked: &LockedPackage, files: &'f Files) -> Result<&'f PathBuf, AssembleError> {
    files
        .get(&locked.sha256)
        .ok_or_else(|| AssembleError::NotFetched { name: locked.name.clone(), version: locked.version.clone() })
}

/// The packages' control files alone.
pub fn open_all(packages: &[LockedPackage], files: &Files) -> Result<Vec<Package>, AssembleError> {
    in_parallel(packages.len(), threads(), |index| Package::open(&packages[index], file_of(&packages[index], files)?))
}

/// Has all packages read, their files to `staged`, while `work` takes them; those
/// of `first` come first. What `work` leaves when it fails is not read any more.
pub fn while_reading<T>(
    packages: &[LockedPackage],
    files: &Files,
    staged: &Path,
    first: &[usize],
    work: impl FnOnce(Reading<'_>) -> Result<T, AssembleError>,
) -> Result<T, AssembleError> {
    let mut queue: Vec<usize> = (0..packages.len()).collect();
    // But the largest of all keeps a core busy for longest: a kernel is half of a host's bytes.
    let largest = queue.iter().copied().max_by_key(|&index| packages[index].size);
    queue.sort_by_key(|&index| (Some(index) != largest, !first.contains(&index), Reverse(packages[index].size)));
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (sender, read) = mpsc::channel();
        for _ in 0..threads().min(packages.len()) {
            let (sender, queue, next) = (sender.clone(), &queue, &next);
            scope.spawn(move || {
                while let Some(&index) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let locked = &packages[index];
                    let package = file_of(locked, files)
                        .and_then(|file| Package::read(locked, file, &staged.join(index.to_string())));
                    // Nobody listens once the work has failed.
                    if sender.send((index, package)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        work(Reading { staged, read })
    })
}

impl Reading<'_> {
    /// Waits until all of `wanted` are among `packages`.
    pub fn take(
        &self,
        wanted: &[usize],
        packages: &mut Packages,
        progress: &dyn Progress,
    ) -> Result<(), AssembleError> {
        while !wanted.iter().all(|index| packages.contains_key(index)) {
            // A reader that panics ends this without an answer, and panics here once all have ended.
            let lost = |_| io_at("staging packages in", self.staged)(io::ErrorKind::BrokenPipe.into());
            let (index, package) = self.read.recv().map_err(lost)?;
            let package = package?;
            progress.item(&package.name);
            if wanted.contains(&index) {
                progress.advance(1);
            }
            packages.insert(index, package);
        }
        Ok(())
    }
}
