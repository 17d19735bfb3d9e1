//! The folder where a build works, gone with the build.

use super::error::{AssembleError, io_at};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const PREFIX: &str = "build-";
const LOCK: &str = "lock";

/// A folder of one build. It is removed on drop, and by the next build where
/// this one was killed: a lock on a file in it lives and dies with the process.
#[derive(Debug)]
pub struct WorkFolder {
    path: PathBuf,
    _lock: Flock<File>,
}

impl WorkFolder {
    /// Makes a folder in `base` after removing those of builds that are dead.
    /// To be called inside the user namespace, whose ids own what dead builds left.
    pub fn new(base: &Path) -> Result<Self, AssembleError> {
        fs::create_dir_all(base).map_err(io_at("making the work folder", base))?;
        remove_stale(base);
        let path = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(base)
            .map_err(io_at("making a work folder in", base))?
            .keep();
        // A build that looks for stale folders between these lines finds no
        // lock file and leaves the folder be.
        let new = path.join(format!("{LOCK}.new"));
        let file = File::create(&new).map_err(io_at("making", &new))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| io_at("locking", &new)(errno.into()))?;
        let path_of_lock = path.join(LOCK);
        fs::rename(&new, &path_of_lock).map_err(io_at("renaming", &new))?;
        // `keep` left mode 0700; programs in the sandbox that drop root's rights must pass.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode).map_err(io_at("opening", &path))?;
        Ok(Self { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new empty folder in it.
    pub fn folder(&self, name: &str) -> Result<PathBuf, AssembleError> {
        let path = self.path.join(name);
        fs::create_dir(&path).map_err(io_at("making", &path))?;
        Ok(path)
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // What cannot be removed now is stale for the next build.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn remove_stale(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let Ok(file) = File::open(entry.path().join(LOCK)) else { continue };
        if Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok() {
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
        let foreign = base.path().join("other");
        fs::create_dir(&foreign).unwrap();
        let second = WorkFolder::new(base.path()).unwrap();
        assert!(live.path().exists() && second.path().exists() && foreign.exists());
        assert!(!dead.exists());
        let path = second.path().to_owned();
        drop(second);
        assert!(!path.exists());
    }
}
