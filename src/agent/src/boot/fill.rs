//! Fills an empty file system for `/var` with the image's `/var`.
//!
//! A marker file stands there while the copy is unfinished; a boot that was
//! interrupted finds it, clears what was copied, and begins again.

use crate::system::attributes;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

const UNFINISHED: &str = ".appliance-filling";
/// What mkfs makes; it does not count as content.
const LOST_AND_FOUND: &str = "lost+found";

#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub struct FillError {
    path: PathBuf,
    error: io::Error,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FillError {
    let path = path.to_owned();
    move |error| FillError { path, error }
}

/// Copies `image` into `disk` when `disk` is empty; `None` when it holds data.
/// The number tells the files, folders and links made.
pub fn fill(image: &Path, disk: &Path) -> Result<Option<u64>, FillError> {
    let unfinished = disk.join(UNFINISHED);
    if fs::symlink_metadata(&unfinished).is_ok() {
        clear(disk)?;
    } else if !names(disk)?.iter().all(|path| is_lost_and_found(path)) {
        return Ok(None);
    } else {
        File::create(&unfinished).and_then(|file| file.sync_all()).map_err(at(&unfinished))?;
        sync(disk)?;
    }
    let mut copy = Copy { links: HashMap::new(), count: 0 };
    copy.folder(image, disk)?;
    sync(disk)?;
    fs::remove_file(&unfinished).map_err(at(&unfinished))?;
    sync(disk)?;
    Ok(Some(copy.count))
}

fn sync(disk: &Path) -> Result<(), FillError> {
    let folder = File::open(disk).map_err(at(disk))?;
    nix::unistd::syncfs(&folder).map_err(|error| at(disk)(error.into()))
}

fn is_lost_and_found(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == LOST_AND_FOUND)
}

fn names(folder: &Path) -> Result<Vec<PathBuf>, FillError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        paths.push(entry.map_err(at(folder))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Removes what an interrupted copy left. Nothing else can be there: the
/// marker is made on an empty file system, and no system has run on it since.
fn clear(disk: &Path) -> Result<(), FillError> {
    for path in names(disk)? {
        if is_lost_and_found(&path) || path.file_name().is_some_and(|name| name == UNFINISHED) {
            continue;
        }
        let stat = fs::symlink_metadata(&path).map_err(at(&path))?;
        let removed = if stat.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(at(&path))?;
    }
    Ok(())
}

struct Copy {
    /// Inode of a file with several names, and where its first copy is.
    links: HashMap<u64, PathBuf>,
    count: u64,
}

impl Copy {
    fn folder(&mut self, from: &Path, to: &Path) -> Result<(), FillError> {
        for path in names(from)? {
            let Some(name) = path.file_name() else { continue };
            let target = to.join(name);
            self.node(&path, &target)?;
            self.count += 1;
        }
        // Last, since every entry made changes the folder's time.
        let stat = fs::symlink_metadata(from).map_err(at(from))?;
        metadata(from, to, &stat)
    }

    fn node(&mut self, from: &Path, to: &Path) -> Result<(), FillError> {
        let stat = fs::symlink_metadata(from).map_err(at(from))?;
        let kind = stat.file_type();
        if kind.is_dir() {
            fs::create_dir(to).map_err(at(to))?;
            return self.folder(from, to);
        }
        if stat.nlink() > 1 {
            if let Some(first) = self.links.get(&stat.ino()) {
                return fs::hard_link(first, to).map_err(at(to));
            }
            self.links.insert(stat.ino(), to.to_owned());
        }
        if kind.is_symlink() {
            let target = fs::read_link(from).map_err(at(from))?;
            symlink(target, to).map_err(at(to))?;
        } else if kind.is_file() {
            fs::copy(from, to).map_err(at(to))?;
        } else {
            special(to, &stat).map_err(at(to))?;
        }
        metadata(from, to, &stat)
    }
}

fn special(to: &Path, stat: &fs::Metadata) -> io::Result<()> {
    use nix::sys::stat::{Mode, SFlag, mknod};
    let kind = stat.file_type();
    let flag = if kind.is_block_device() {
        SFlag::S_IFBLK
    } else if kind.is_char_device() {
        SFlag::S_IFCHR
    } else if kind.is_fifo() {
        SFlag::S_IFIFO
    } else {
        SFlag::S_IFSOCK
    };
    Ok(mknod(to, flag, Mode::from_bits_truncate(stat.mode() & 0o7777), stat.rdev())?)
}

/// Owner before mode: a change of owner clears the set-user-id bit, and file capabilities too.
fn metadata(from: &Path, to: &Path, stat: &fs::Metadata) -> Result<(), FillError> {
    if stat.is_symlink() {
        lchown(to, Some(stat.uid()), Some(stat.gid())).map_err(at(to))?;
    } else {
        chown(to, Some(stat.uid()), Some(stat.gid())).map_err(at(to))?;
        fs::set_permissions(to, fs::Permissions::from_mode(stat.mode() & 0o7777)).map_err(at(to))?;
        attributes::copy(from, to).map_err(at(to))?;
    }
    let time = |seconds, nanoseconds| nix::sys::time::TimeSpec::new(seconds, nanoseconds);
    let modified = time(stat.mtime(), stat.mtime_nsec());
    let flag = nix::sys::stat::UtimensatFlags::NoFollowSymlink;
    nix::sys::stat::utimensat(nix::fcntl::AT_FDCWD, to, &modified, &modified, flag)
        .map_err(|error| at(to)(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::tests::put;

    fn image() -> tempfile::TempDir {
        let image = tempfile::tempdir().unwrap();
        let root = image.path();
        put(&root.join("lib/state"), "state");
        fs::set_permissions(root.join("lib/state"), fs::Permissions::from_mode(0o4711)).unwrap();
        fs::set_permissions(root.join("lib"), fs::Permissions::from_mode(0o2750)).unwrap();
        fs::hard_link(root.join("lib/state"), root.join("again")).unwrap();
        symlink("lib/state", root.join("link")).unwrap();
        fs::create_dir(root.join("empty")).unwrap();
        image
    }

    #[test]
    fn fills_an_empty_disk_with_modes_links_and_times() {
        let (image, disk) = (image(), tempfile::tempdir().unwrap());
        fs::create_dir(disk.path().join(LOST_AND_FOUND)).unwrap();
        assert_eq!(fill(image.path(), disk.path()).unwrap(), Some(5));
        let stat = |path: &str| fs::symlink_metadata(disk.path().join(path)).unwrap();
        assert_eq!(stat("lib/state").mode() & 0o7777, 0o4711);
        assert_eq!(stat("lib").mode() & 0o7777, 0o2750);
        assert_eq!(stat("lib/state").ino(), stat("again").ino());
        assert_eq!(fs::read_link(disk.path().join("link")).unwrap(), Path::new("lib/state"));
        let original = fs::symlink_metadata(image.path().join("lib/state")).unwrap();
        assert_eq!((stat("again").mtime(), stat("again").mtime_nsec()), (original.mtime(), original.mtime_nsec()));
        assert!(!disk.path().join(UNFINISHED).exists());
    }

    #[test]
    fn leaves_a_disk_with_data_alone() {
        let (image, disk) = (image(), tempfile::tempdir().unwrap());
        put(&disk.path().join("mine"), "data");
        assert_eq!(fill(image.path(), disk.path()).unwrap(), None);
        assert_eq!(names(disk.path()).unwrap(), [disk.path().join("mine")]);
    }

    #[test]
    fn an_interrupted_fill_is_begun_again() {
        let (image, disk) = (image(), tempfile::tempdir().unwrap());
        put(&disk.path().join(UNFINISHED), "");
        put(&disk.path().join("lib/state"), "ha");
        put(&disk.path().join("again"), "half a file");
        assert_eq!(fill(image.path(), disk.path()).unwrap(), Some(5));
        assert_eq!(fs::read_to_string(disk.path().join("again")).unwrap(), "state");
        assert_eq!(fill(image.path(), disk.path()).unwrap(), None, "the second boot leaves it alone");
    }
}
