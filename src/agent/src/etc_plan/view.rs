//! What a plan may ask of a file tree: the image's root, or a part of the config.

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Units, passwd and modes are small; more than this is not read.
const MAX_TEXT: u64 = 1024 * 1024;

/// A folder's owner and mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A tree looked at from its own root; paths are relative to it.
pub trait View {
    /// The text of a regular file; symbolic links are followed inside the tree only.
    fn read(&self, path: &str) -> Option<String>;
    /// The attributes of `path` where it is a real directory, not a link to one.
    fn folder(&self, path: &str) -> Option<Attributes>;
    /// The target of a symbolic link.
    fn link(&self, path: &str) -> Option<String>;
    /// Whether something stands at `path`, be it a dangling link.
    fn exists(&self, path: &str) -> bool;
}

/// A directory that is seen as a root: no link leads out of it.
#[derive(Debug)]
pub struct RootView {
    root: Option<OwnedFd>,
    path: PathBuf,
}

impl RootView {
    /// A root that is not there is an empty tree.
    pub fn new(path: &Path) -> Self {
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC);
        Self { root: openat2(AT_FDCWD, path, how).ok(), path: path.to_owned() }
    }

    fn open(&self, path: &str, flags: OFlag) -> Option<File> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .mode(Mode::empty())
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        loop {
            // EAGAIN: something was renamed meanwhile (openat2(2)).
            match openat2(self.root.as_ref()?, path.trim_start_matches('/'), how) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                result => return result.ok().map(File::from),
            }
        }
    }

    /// What stands at `path` itself.
    fn itself(&self, path: &str) -> Option<fs::Metadata> {
        self.open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW)?.metadata().ok()
    }
}

impl View for RootView {
    fn read(&self, path: &str) -> Option<String> {
        // Non-blocking, or opening a FIFO would wait for a writer.
        let file = self.open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?;
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || metadata.len() > MAX_TEXT {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(MAX_TEXT).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn folder(&self, path: &str) -> Option<Attributes> {
        let found = self.itself(path).filter(fs::Metadata::is_dir)?;
        Some(Attributes { mode: found.mode() & 0o7777, uid: found.uid(), gid: found.gid() })
    }

    fn link(&self, path: &str) -> Option<String> {
        self.itself(path).filter(fs::Metadata::is_symlink)?;
        // The parents were just resolved inside the root; a link among them is followed there by the next step only.
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.open(if parent.is_empty() { "." } else { parent }, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        let target = nix::fcntl::readlinkat(&folder, name).ok()?;
        Some(target.to_string_lossy().into_owned())
    }

    fn exists(&self, path: &str) -> bool {
        self.itself(path).is_some()
    }
}

impl std::fmt::Display for RootView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path.display().fmt(f)
    }
}
