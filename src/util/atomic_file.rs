//! Atomic writes: a file appears under its name with all its bytes, or not at all.
//!
//! A temporary file is in the directory of its final name; its own name begins with [`PREFIX`].

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempPath};

/// The prefix of the names of temporary files.
pub const PREFIX: &str = ".new-";

/// What is on disk when [`AtomicFile::persist`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The file and its name.
    Synced,
    /// The file. The caller syncs the directory, once for several files.
    FileSynced,
    /// Nothing. For a cache, whose readers detect by a hash a file that a power cut left incomplete.
    Unsynced,
}

/// A temporary file that is being written. It is removed when this value is dropped.
#[derive(Debug)]
pub struct AtomicFile(NamedTempFile);

impl AtomicFile {
    /// Opens the temporary file of `path`, and creates its directory if needed. The temporary name is always the same,
    /// so that a file of a killed process is overwritten. Waits while another process writes it.
    pub fn create(path: &Path) -> io::Result<Self> {
        let directory = directory(path);
        fs::create_dir_all(directory)?;
        let temporary = temporary(directory, path);
        let file = open_locked(&temporary)?;
        // Only the holder of the lock may remove the file.
        let file = Self(NamedTempFile::from_parts(file, TempPath::try_from_path(temporary)?));
        file.as_file().set_len(0)?;
        Ok(file)
    }

    /// Creates a temporary file with a unique name in `directory`; its final name is chosen later.
    pub fn create_in(directory: &Path) -> io::Result<Self> {
        // Not by crate tempfile, whose error names the temporary file and lacks the system's error number.
        let mut number = 0_u64;
        loop {
            let path = directory.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Self::adopt(file, &path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes over the open file at `path`, in a directory that only the caller uses.
    pub fn adopt(file: File, path: &Path) -> io::Result<Self> {
        Ok(Self(NamedTempFile::from_parts(file, TempPath::try_from_path(path)?)))
    }

    /// The open temporary file.
    pub fn as_file(&self) -> &File {
        self.0.as_file()
    }

    /// The open temporary file, for `Write`.
    pub fn as_file_mut(&mut self) -> &mut File {
        self.0.as_file_mut()
    }

    /// The temporary name.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Gives the file its mode and renames it to `path`, replacing any other file there.
    pub fn persist(self, path: &Path, mode: u32, durability: Durability) -> io::Result<()> {
        self.as_file().set_permissions(Permissions::from_mode(mode))?;
        if durability != Durability::Unsynced {
            self.as_file().sync_all()?;
        }
        self.0.persist(path)?;
        if durability == Durability::Synced {
            sync_directory(directory(path))?;
        }
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.as_file_mut().flush()
    }
}

/// Writes a file atomically with mode 644; `write` writes its content.
pub fn write_atomic(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    write_atomic_with(path, Durability::Synced, write)
}

/// [`write_atomic`] with another durability.
pub fn write_atomic_with(
    path: &Path,
    durability: Durability,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    write(file.as_file_mut())?;
    file.persist(path, 0o644, durability)
}

/// Syncs a directory, and so the names in it, to disk.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The directory of the file at `path`.
pub fn directory(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The temporary name of `path`. Its suffix keeps it out of lists of files by suffix.
fn temporary(directory: &Path, path: &Path) -> PathBuf {
    directory.join(format!("{PREFIX}{}.part", path.file_name().unwrap_or_default().to_string_lossy()))
}

/// Opens or creates the file and locks it, so that no other process writes to it.
fn open_locked(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.lock()?;
        let ours = file.metadata()?;
        // The previous holder of the lock may have renamed the file.
        match fs::metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => return Ok(file),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_is_refused_with_the_systems_error() {
        let error = AtomicFile::create_in(Path::new("/nonexistent/directory")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(2));
        let directory = tempfile::tempdir().unwrap();
        let files = [0, 1].map(|_| AtomicFile::create_in(directory.path()).unwrap());
        assert_ne!(files[0].path(), files[1].path());
    }

    #[test]
    fn what_a_killed_process_left_is_taken_and_what_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/file");
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(temporary(&folder.path().join("a"), &path), "half of something longer").unwrap();
        write_atomic(&path, |file| file.write_all(b"one")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        let refused = |file: &mut File| file.write_all(b"tw").and(Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(write_atomic(&path, refused).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    }

    #[test]
    fn writers_at_once_leave_one_of_theirs_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::thread::scope(|scope| {
            for number in 0..8u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        write_atomic(path, |file| file.write_all(&[number; 10_000])).unwrap();
                        let found = fs::read(path).unwrap();
                        assert!(found.len() == 10_000 && found.iter().all(|byte| *byte == found[0]));
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_of_its_own_name_replaces_another_with_its_mode_and_leaves_nothing_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        for durability in [Durability::Synced, Durability::FileSynced, Durability::Unsynced] {
            let mut file = AtomicFile::create_in(folder.path()).unwrap();
            file.as_file_mut().write_all(b"new").unwrap();
            assert!(file.path().file_name().unwrap().to_str().unwrap().starts_with(PREFIX));
            file.persist(&path, 0o600, durability).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        drop(AtomicFile::create_in(folder.path()).unwrap());
        drop(AtomicFile::create(&path).unwrap());
        let adopted = folder.path().join("adopted");
        drop(AtomicFile::adopt(File::create_new(&adopted).unwrap(), &adopted).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
