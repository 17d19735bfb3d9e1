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

/// Packages with their entries, in the order of the lock.
pub type Packages = Vec<Arc<Package>>;

/// The packages that are read so far. Readers add packages, and callers wait for them.
#[derive(Debug, Default)]
pub struct ReaderPool {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By index in the lock.
    read: BTreeMap<usize, Arc<Package>>,
    /// The first error, until a caller takes it.
    error: Option<AssembleError>,
    /// No further packages will be read.
    ended: bool,
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Reads only the packages' control files.
pub fn open_all(packages: &[LockedPackage], files: &Files) -> Result<Vec<Package>, AssembleError> {
    in_parallel(packages.len(), threads(), |index| Package::open(&packages[index], files))
}

/// Reads the entries of the `opened` packages on all cores, with contents staged in `staged`, while `work` takes them
/// from the pool. Packages in `first` are read first. When `work` returns, no further packages are read.
pub fn with_reader_pool<T>(
    packages: &[LockedPackage],
    opened: &[Package],
    files: &Files,
    staged: &Path,
    first: &[usize],
    work: impl FnOnce(&ReaderPool) -> Result<T, AssembleError>,
) -> Result<T, AssembleError> {
    let mut queue: Vec<usize> = (0..packages.len()).collect();
    // The largest package comes before all others, as it takes longest: a kernel is half of a host's bytes.
    let largest = queue.iter().copied().max_by_key(|&index| packages[index].size);
    queue.sort_by_key(|&index| (Some(index) != largest, !first.contains(&index), Reverse(packages[index].size)));
    let next = AtomicUsize::new(0);
    let pool = ReaderPool::default();
    let read = |index: usize| {
        let folder = staged.join(index.to_string());
        opened[index].clone().read(&packages[index], files, &folder)
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..threads().min(packages.len()))
            .map(|_| {
                scope.spawn(|| {
                    while let Some(&index) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                        // Packages that nobody waits for yet are read at lower priority.
                        if !first.contains(&index) && Some(index) != largest {
                            priority::set_background_priority();
                        }
                        if !pool.add(index, read(index)) {
                            return;
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            // After a panic the waiting callers return, and the panic continues here.
            let panicked = readers.into_iter().map(|reader| reader.join()).filter_map(Result::err).last();
            pool.end();
            if let Some(panic) = panicked {
                resume_unwind(panic);
            }
        });
        let _ends = EndOnDrop(&pool);
        work(&pool)
    })
}

/// Stops the readers on drop, also when the work panics.
struct EndOnDrop<'a>(&'a ReaderPool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl ReaderPool {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panicked reader leaves no incomplete package in the state, so poisoning is ignored.
        self.state.lock().unpoisoned()
    }

    /// Adds a package, or the error of reading it. Returns whether to read further packages.
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

    /// Stops the readers.
    pub fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    /// Waits until the packages `wanted` are read; calls `report` with the name of each. `None` if reading has stopped
    /// before.
    fn wait(&self, wanted: &[usize], report: &dyn Fn(&str)) -> Option<Packages> {
        let mut state = self.state();
        let mut reported = vec![false; wanted.len()];
        loop {
            for (reported, index) in reported.iter_mut().zip(wanted).filter(|(reported, _)| !**reported) {
                if let Some(package) = state.read.get(index) {
                    report(&package.name);
                    *reported = true;
                }
            }
            if reported.iter().all(|reported| *reported) {
                return Some(wanted.iter().map(|index| Arc::clone(&state.read[index])).collect());
            }
            if state.ended {
                return None;
            }
            state = self.changed.wait(state).unpoisoned();
        }
    }

    /// Waits until the packages `wanted` are read, and reports each as progress.
    pub fn take(&self, wanted: &[usize], progress: &dyn Progress) -> Result<Packages, AssembleError> {
        let report = |name: &str| {
            progress.item(name);
            progress.advance(1);
        };
        // Without an error a reader has panicked, and its panic ends the whole scope.
        let lost =
            || AssembleError::from(FileError::new("reading", Path::new("packages"), io::ErrorKind::BrokenPipe.into()));
        self.wait(wanted, &report).ok_or_else(|| self.state().error.take().unwrap_or_else(lost))
    }

    /// Waits until all of `count` packages are read. `None` after an error, which [`Self::take`] returns.
    pub fn all(&self, count: usize) -> Option<Packages> {
        self.wait(&(0..count).collect::<Vec<_>>(), &|_| {})
    }
}
