//! Reads package files on all cores. A caller that needs some of them continues while the others are still being read.

use crate::packages::LockedPackage;
use crate::progress::Progress;
use crate::rootfs::error::AssembleError;
use crate::rootfs::unpack::package::Package;
use crate::rootfs::unpack::package_files::Files;
use crate::tree::in_parallel;
use crate::util::file_error::FileError;
use crate::util::poison::Unpoisoned;
use crate::util::priority;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

/// Packages with all that they hold, in the order of the lock.
pub type Packages = Vec<Arc<Package>>;

/// Packages as they come.
#[derive(Debug, Default)]
pub struct Reading {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By their place in the lock.
    read: BTreeMap<usize, Arc<Package>>,
    /// What went wrong first, until somebody has heard of it.
    error: Option<AssembleError>,
    /// Nothing more will be read.
    ended: bool,
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The packages' control files alone.
pub fn open_all(packages: &[LockedPackage], files: &Files) -> Result<Vec<Package>, AssembleError> {
    in_parallel(packages.len(), threads(), |index| Package::open(&packages[index], files))
}

/// Has what the `opened` packages hold read, to files in `staged`, while `work` takes them; those
/// of `first` come first. What `work` leaves when it fails is not read any more.
pub fn while_reading<T>(
    packages: &[LockedPackage],
    opened: &[Package],
    files: &Files,
    staged: &Path,
    first: &[usize],
    work: impl FnOnce(&Reading) -> Result<T, AssembleError>,
) -> Result<T, AssembleError> {
    let mut queue: Vec<usize> = (0..packages.len()).collect();
    // But the largest of all keeps a core busy for longest: a kernel is half of a host's bytes.
    let largest = queue.iter().copied().max_by_key(|&index| packages[index].size);
    queue.sort_by_key(|&index| (Some(index) != largest, !first.contains(&index), Reverse(packages[index].size)));
    let next = AtomicUsize::new(0);
    let reading = Reading::default();
    let read = |index: usize| {
        let folder = staged.join(index.to_string());
        opened[index].clone().read(&packages[index], files, &folder)
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..threads().min(packages.len()))
            .map(|_| {
                scope.spawn(|| {
                    while let Some(&index) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                        // What others wait for comes first.
                        if !first.contains(&index) && Some(index) != largest {
                            priority::set_background_priority();
                        }
                        if !reading.add(index, read(index)) {
                            return;
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            // One that panics leaves nobody waiting, and panics here, too.
            let panicked = readers.into_iter().map(|reader| reader.join()).filter_map(Result::err).last();
            reading.end();
            if let Some(panic) = panicked {
                resume_unwind(panic);
            }
        });
        let _ends = Ends(&reading);
        work(&reading)
    })
}

/// Nothing more is read once the work has ended, however it does.
struct Ends<'a>(&'a Reading);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Reading {
    fn state(&self) -> MutexGuard<'_, State> {
        // A package is whole before it is put here.
        self.state.lock().unpoisoned()
    }

    /// Whether others are wanted.
    fn add(&self, index: usize, package: Result<Package, AssembleError>) -> bool {
        let mut state = self.state();
        match package {
            Ok(package) => drop(state.read.insert(index, Arc::new(package))),
            Err(error) => {
                state.error.get_or_insert(error);
                state.ended = true;
            }
        }
        self.changed.notify_all();
        !state.ended
    }

    /// Has nothing more read.
    pub fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    /// Waits until `wanted` are read; `heard` gets the name of each. `None` where they never will be.
    fn wait(&self, wanted: &[usize], heard: &dyn Fn(&str)) -> Option<Packages> {
        let mut state = self.state();
        let mut told = vec![false; wanted.len()];
        loop {
            for (told, index) in told.iter_mut().zip(wanted).filter(|(told, _)| !**told) {
                if let Some(package) = state.read.get(index) {
                    heard(&package.name);
                    *told = true;
                }
            }
            if told.iter().all(|told| *told) {
                return Some(wanted.iter().map(|index| Arc::clone(&state.read[index])).collect());
            }
            if state.ended {
                return None;
            }
            state = self.changed.wait(state).unpoisoned();
        }
    }

    /// Waits until `wanted` are read, and tells of each.
    pub fn take(&self, wanted: &[usize], progress: &dyn Progress) -> Result<Packages, AssembleError> {
        let heard = |name: &str| {
            progress.item(name);
            progress.advance(1);
        };
        // A reader that panicked without an error ends the whole scope with its panic.
        let lost =
            || AssembleError::from(FileError::new("reading", Path::new("packages"), io::ErrorKind::BrokenPipe.into()));
        self.wait(wanted, &heard).ok_or_else(|| self.state().error.take().unwrap_or_else(lost))
    }

    /// Waits until all of `count` packages are read; `None` where one cannot be, which who takes it hears.
    pub fn all(&self, count: usize) -> Option<Packages> {
        self.wait(&(0..count).collect::<Vec<_>>(), &|_| {})
    }
}
