//! The work directory of a build, removed when the build ends.

use crate::rootfs::error::AssembleError;
use crate::sandbox;
use crate::util::file_error::At as _;
use crate::util::poison::Unpoisoned;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread::{self, JoinHandle};

const PREFIX: &str = "build-";
const LOCK: &str = "lock";

/// A folder of one build. It is removed on drop, and by the next build where
/// this one was killed: a lock on a file in it lives and dies with the process.
#[derive(Debug)]
pub struct WorkFolder {
    path: PathBuf,
    /// Where configured trees are kept, if they are.
    trees: Option<PathBuf>,
    /// What is mounted in it, and what must stay as long as that is.
    mounts: Mutex<Vec<Mounted>>,
    /// Locks on what the build uses beside it.
    held: Mutex<Vec<File>>,
    /// Folders elsewhere that the build needs for a while.
    others: Mutex<Vec<WorkFolder>>,
    clearing: Mutex<Vec<JoinHandle<()>>>,
    _lock: Flock<File>,
}

#[derive(Debug)]
struct Mounted {
    at: PathBuf,
    _held: File,
}

impl WorkFolder {
    /// Makes a folder in `base` after removing those of builds that are dead.
    /// To be called inside the user namespace, whose ids own what dead builds left.
    pub fn new(base: &Path) -> Result<Self, AssembleError> {
        fs::create_dir_all(base).at("making the work folder", base)?;
        // Held until the new folder has its lock: whoever looks for dead builds holds it, too, and so takes a folder
        // without a lock for one whose build was killed.
        let held = hold(base);
        remove_dead(base, held.is_some());
        let path = tempfile::Builder::new().prefix(PREFIX).tempdir_in(base).at("making a work folder in", base)?.keep();
        let new = path.join(format!("{LOCK}.new"));
        let file = File::create(&new).at("making", &new)?;
        let lock =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno).at("locking", &new)?;
        let path_of_lock = path.join(LOCK);
        fs::rename(&new, &path_of_lock).at("renaming", &new)?;
        drop(held);
        // `keep` left mode 0700; programs in the sandbox that drop root's rights must pass.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode).at("opening", &path)?;
        Ok(Self {
            path,
            trees: None,
            mounts: Mutex::default(),
            held: Mutex::default(),
            others: Mutex::default(),
            clearing: Mutex::default(),
            _lock: lock,
        })
    }

    /// Removes what dead builds left in `base`, as [`Self::new`] does.
    pub fn clean(base: &Path) {
        let held = hold(base);
        remove_dead(base, held.is_some());
    }

    /// Has configured trees kept in `folder`.
    pub fn keeping_trees(mut self, folder: PathBuf) -> Self {
        self.trees = Some(folder);
        self
    }

    /// The directory in which trees are kept; `None` where none are.
    pub fn trees(&self) -> Option<&Path> {
        self.trees.as_deref()
    }

    /// Notes that something is mounted at `at`, which needs `held` to stay open.
    pub fn mounted(&self, at: PathBuf, held: File) {
        self.mounts.lock().unpoisoned().push(Mounted { at, _held: held });
    }

    /// Keeps `lock` for as long as the build runs.
    pub fn holding(&self, lock: File) {
        self.held.lock().unpoisoned().push(lock);
    }

    /// Keeps `other` as long as this one, or until [`Self::clear_others`].
    pub fn having(&self, other: Self) {
        self.others.lock().unpoisoned().push(other);
    }

    /// Has the folders elsewhere removed, and waits for that at the end of the build only.
    pub fn clear_others(&self) {
        let others = std::mem::take(&mut *self.others.lock().unpoisoned());
        let clearing = thread::spawn(|| drop(others));
        self.clearing.lock().unpoisoned().push(clearing);
    }

    /// Gives the folder another name, under which it stays; an error where that is taken.
    pub fn keep_as(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        // What is left of it for the drop is a name that nothing has.
        self.path = self.path.join("kept");
        Ok(())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new empty folder in it.
    pub fn folder(&self, name: &str) -> Result<PathBuf, AssembleError> {
        let path = self.path.join(name);
        fs::create_dir(&path).at("making", &path)?;
        Ok(path)
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        for mounted in self.mounts.get_mut().unpoisoned().drain(..).rev() {
            let _ = sandbox::take_off(&mounted.at);
        }
        // What cannot be removed now is stale for the next build.
        let _ = fs::remove_dir_all(&self.path);
        for clearing in self.clearing.get_mut().unpoisoned().drain(..) {
            let _ = clearing.join();
        }
    }
}

/// A file system that locks no folder keeps those without a lock.
fn hold(base: &Path) -> Option<Flock<File>> {
    Flock::lock(File::open(base).ok()?, FlockArg::LockExclusive).ok()
}

/// `alone`: nobody is making a folder meanwhile.
fn remove_dead(base: &Path, alone: bool) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let dead = match File::open(entry.path().join(LOCK)) {
            Ok(file) => Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok(),
            Err(error) => alone && error.kind() == io::ErrorKind::NotFound,
        };
        if dead {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_folder_stays_and_a_dead_one_goes() {
        let base = tempfile::tempdir().unwrap();
        let live = WorkFolder::new(base.path()).unwrap();
        let dead = base.path().join("build-dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        let unborn = base.path().join("build-unborn");
        fs::create_dir(&unborn).unwrap();
        fs::write(unborn.join(format!("{LOCK}.new")), "").unwrap();
        let foreign = base.path().join("other");
        fs::create_dir(&foreign).unwrap();
        let second = WorkFolder::new(base.path()).unwrap();
        assert!(live.path().exists() && second.path().exists() && foreign.exists());
        assert!(!dead.exists() && !unborn.exists());
        let path = second.path().to_owned();
        drop(second);
        assert!(!path.exists());
    }
}
