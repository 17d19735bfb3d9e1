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

/// The directory of one build, removed on drop. If the build is killed, the next one removes it: a file lock, which the
/// kernel releases when the process dies, shows whether the owner is alive.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    /// The directory of the root cache; `None` without a cache.
    trees: Option<PathBuf>,
    /// Mounts in it, each with a file that must stay open while it is mounted.
    mounts: Mutex<Vec<Mounted>>,
    /// Locks on files elsewhere that the build uses.
    held: Mutex<Vec<File>>,
    /// Work directories elsewhere that the build needs for some time.
    children: Mutex<Vec<WorkDir>>,
    removals: Mutex<Vec<JoinHandle<()>>>,
    _lock: Flock<File>,
}

#[derive(Debug)]
struct Mounted {
    at: PathBuf,
    _held: File,
}

impl WorkDir {
    /// Makes a directory in `base` and removes those of killed builds. Must run in the user namespace, whose ids own
    /// the files of killed builds.
    pub fn new(base: &Path) -> Result<Self, AssembleError> {
        fs::create_dir_all(base).at("making the work directory", base)?;
        // Held until the new directory has its lock. Whoever looks for killed builds holds it too, so that a directory
        // without a held lock belongs to a killed build.
        let held = hold(base);
        remove_dead(base, held.is_some());
        let path =
            tempfile::Builder::new().prefix(PREFIX).tempdir_in(base).at("making a work directory in", base)?.keep();
        let new = path.join(format!("{LOCK}.new"));
        let file = File::create(&new).at("making", &new)?;
        let lock =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno).at("locking", &new)?;
        let path_of_lock = path.join(LOCK);
        fs::rename(&new, &path_of_lock).at("renaming", &new)?;
        drop(held);
        // tempfile sets mode 0700; programs in the sandbox that drop root's rights must be able to traverse it.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode).at("opening", &path)?;
        Ok(Self {
            path,
            trees: None,
            mounts: Mutex::default(),
            held: Mutex::default(),
            children: Mutex::default(),
            removals: Mutex::default(),
            _lock: lock,
        })
    }

    /// Removes the directories of killed builds in `base`, as [`Self::new`] does.
    pub fn clean(base: &Path) {
        let held = hold(base);
        remove_dead(base, held.is_some());
    }

    /// Sets the directory of the root cache.
    pub fn with_root_cache(mut self, trees: PathBuf) -> Self {
        self.trees = Some(trees);
        self
    }

    /// The directory of the root cache; `None` without a cache.
    pub fn trees(&self) -> Option<&Path> {
        self.trees.as_deref()
    }

    /// Registers a mount at `at`, to be unmounted on drop. `held` stays open until then.
    pub fn add_mount(&self, at: PathBuf, held: File) {
        self.mounts.lock().unpoisoned().push(Mounted { at, _held: held });
    }

    /// Holds `lock` until the end of the build.
    pub fn hold_lock(&self, lock: File) {
        self.held.lock().unpoisoned().push(lock);
    }

    /// Ties the lifetime of `child` to this directory, or until [`Self::drop_children_in_background`].
    pub fn attach_child(&self, child: Self) {
        self.children.lock().unpoisoned().push(child);
    }

    /// Starts a thread that removes the children. Only the end of the build waits for it.
    pub fn drop_children_in_background(&self) {
        let children = std::mem::take(&mut *self.children.lock().unpoisoned());
        let removal = thread::spawn(|| drop(children));
        self.removals.lock().unpoisoned().push(removal);
    }

    /// Renames the directory to `to`, where it stays. Fails if `to` exists.
    pub fn persist(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        // The drop then removes a path that does not exist.
        self.path = self.path.join("persisted");
        Ok(())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a new empty directory in it.
    pub fn subdirectory(&self, name: &str) -> Result<PathBuf, AssembleError> {
        let path = self.path.join(name);
        fs::create_dir(&path).at("making", &path)?;
        Ok(path)
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        for mounted in self.mounts.get_mut().unpoisoned().drain(..).rev() {
            let _ = sandbox::unmount(&mounted.at);
        }
        // The next build removes what cannot be removed now.
        let _ = fs::remove_dir_all(&self.path);
        for removal in self.removals.get_mut().unpoisoned().drain(..) {
            let _ = removal.join();
        }
    }
}

/// Locks `base`. `None` if the file system cannot lock directories; directories without a lock are not removed then.
fn hold(base: &Path) -> Option<Flock<File>> {
    Flock::lock(File::open(base).ok()?, FlockArg::LockExclusive).ok()
}

/// `alone`: no other build is making a directory.
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
        let live = WorkDir::new(base.path()).unwrap();
        let dead = base.path().join("build-dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        let unborn = base.path().join("build-unborn");
        fs::create_dir(&unborn).unwrap();
        fs::write(unborn.join(format!("{LOCK}.new")), "").unwrap();
        let foreign = base.path().join("other");
        fs::create_dir(&foreign).unwrap();
        let second = WorkDir::new(base.path()).unwrap();
        assert!(live.path().exists() && second.path().exists() && foreign.exists());
        assert!(!dead.exists() && !unborn.exists());
        let path = second.path().to_owned();
        drop(second);
        assert!(!path.exists());
    }
}
