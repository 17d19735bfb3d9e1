//! The root cache: configured roots, stored for later builds with the same packages. A cached root is never written to:
//! a build mounts an overlayfs over it, whose upper directory is its own. The build that makes a root does the same, so
//! that a cache hit cannot show in the image.

pub(crate) mod metadata;
pub(crate) mod overlay_upper;

use crate::cache;
use crate::identity;
use crate::packages::{Lock, LockedPackage};
use crate::progress::{Progress, Silent, Stage, Unit};
use crate::rootfs::error::AssembleError;
use crate::rootfs::root_cache::metadata::{RootMetadata, state};
use crate::rootfs::unpack::install::{Extras, Installer};
use crate::rootfs::unpack::package_files::Files;
use crate::rootfs::unpack::unchanged::UnchangedFiles;
use crate::rootfs::unpack::{self, Sources};
use crate::rootfs::work_dir::WorkDir;
use crate::sandbox;
use crate::tree::{Content, Kind, Tree, in_parallel};
use crate::util::file_error::{At as _, FileError};
use crate::util::sha256;
use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Version of the entries' format. The key also contains the identity of this program.
const FORMAT: u32 = 1;
const ROOT: &str = "root";
const RECORD: &str = "record";
/// Locked by builds that use an entry; its modification time is the time of the last use.
const LOCK: &str = cache::TREE_LOCK;

/// The cached root below a build's own changes, with the fingerprints of its files.
#[derive(Debug)]
pub struct LowerTree {
    tree: Tree,
    /// The upper directory of the overlayfs, which has the changes.
    upper: PathBuf,
}

/// Whether `trees` has an entry for the lock's packages, and for its tools if `with_tools` is set. The entries are not
/// verified.
pub fn are_cached(trees: &Path, lock: &Lock, epoch: i64, with_tools: bool) -> Result<bool, AssembleError> {
    let Lock { packages, tools, .. } = lock;
    let is_cached = |path: PathBuf| path.join(RECORD).exists();
    let root = packages.is_empty() || is_cached(trees.join(key(packages, epoch)));
    Ok(root && (!with_tools || is_cached(tools_path(trees, tools))))
}

/// Does the same as [`unpack::install`], or mounts the cached result of an earlier build.
pub fn install(
    installer: &mut Installer,
    sources: &Sources<'_>,
    work: &WorkDir,
    progress: &dyn Progress,
) -> Result<Option<LowerTree>, AssembleError> {
    let Sources { packages, files, epoch, .. } = *sources;
    let Some(trees) = work.trees().filter(|_| overlayfs_works(work)) else {
        files.fetch(progress)?;
        unpack::install(installer, sources, work, progress)?;
        return Ok(None);
    };
    let path = trees.join(key(packages, epoch));
    if let Some(entry) = CacheEntry::open(&path)? {
        progress.stage(Stage::Configure, packages.len() as u64, Unit::Packages);
        progress.item("checking the cached root");
        if let Some(cached) = entry.check()? {
            progress.advance(packages.len() as u64);
            progress.reused("the configured packages");
            return mount_root(cached, installer, work).map(Some);
        }
        entry.remove();
    }
    files.fetch(progress)?;
    let new = WorkDir::new(trees)?;
    let root = new.subdirectory(ROOT)?;
    fs::set_permissions(&root, Permissions::from_mode(0o755)).at("setting the mode of", &root)?;
    let mut made = Installer::new(&root);
    // On the same file system, because files are hard-linked from one to the other.
    let staging = WorkDir::new(trees)?;
    unpack::install(&mut made, sources, &staging, progress)?;
    work.attach_child(staging);
    let tree = fingerprinted_tree(&root, &made.unchanged)?;
    let record = RootMetadata { state: state(&tree)?, extras: std::mem::take(&mut made.extras), times: made.times };
    let entry = store_root(new, &path, &record)?;
    let tree = relocate(tree, &root, &entry.path.join(ROOT));
    mount_root(CachedRoot { entry, tree, record }, installer, work).map(Some)
}

/// Adds a new root to the cache, atomically by a rename.
fn store_root(new: WorkDir, path: &Path, record: &RootMetadata) -> Result<CacheEntry, AssembleError> {
    let file = new.path().join(RECORD);
    fs::write(&file, record.render()).at("writing", &file)?;
    // If another build has added the same root in the meantime, that entry is used.
    let _ = new.persist(path);
    let lost = || AssembleError::from(FileError::new("opening", path, io::ErrorKind::NotFound.into()));
    CacheEntry::open(path)?.ok_or_else(lost)
}

/// The path of a root with the lock's unpacked tools, from the cache or unpacked now.
pub fn tools(
    packages: &[LockedPackage],
    files: &Files,
    work: &WorkDir,
    progress: &dyn Progress,
) -> Result<PathBuf, AssembleError> {
    progress.item("the tools' packages");
    let Some(trees) = work.trees() else {
        files.fetch(&Silent)?;
        return unpack::tools(packages, files, work, "tools");
    };
    let path = tools_path(trees, packages);
    if let Some(entry) = CacheEntry::open(&path)? {
        if let Some(cached) = entry.check()? {
            work.hold_lock(cached.entry.lock);
            return Ok(path.join(ROOT));
        }
        entry.remove();
    }
    // Silent: the progress shows the packing of the root, which runs at the same time.
    files.fetch(&Silent)?;
    let lock = store_tools(trees, &path, packages, files)?;
    work.hold_lock(lock);
    Ok(path.join(ROOT))
}

/// Adds the tools to the cache, where [`tools`] finds them.
pub fn prefetch_tools(packages: &[LockedPackage], files: &Files, trees: &Path) -> Result<(), AssembleError> {
    let path = tools_path(trees, packages);
    match CacheEntry::open(&path)? {
        Some(_) => Ok(()),
        None => store_tools(trees, &path, packages, files).map(drop),
    }
}

fn tools_path(trees: &Path, packages: &[LockedPackage]) -> PathBuf {
    // The times of the tools' files do not affect any output.
    trees.join(format!("tools-{}", key(packages, 0)))
}

fn store_tools(trees: &Path, path: &Path, packages: &[LockedPackage], files: &Files) -> Result<File, AssembleError> {
    let new = WorkDir::new(trees)?;
    let root = unpack::tools(packages, files, &new, ROOT)?;
    let record = RootMetadata {
        state: state(&fingerprinted_tree(&root, &UnchangedFiles::default())?)?,
        extras: Extras::default(),
        times: HashMap::new(),
    };
    Ok(store_root(new, path, &record)?.lock)
}

/// The cache key: a hash over everything that determines a root's contents.
fn key(packages: &[LockedPackage], epoch: i64) -> String {
    let mut text = format!("{FORMAT}\n{}\n{epoch}\n", identity::sha256());
    for LockedPackage { name, version, architecture, sha256, .. } in packages {
        text.push_str(&format!("{name} {version} {architecture} {sha256}\n"));
    }
    sha256::of(text).to_string()
}

/// Whether the kernel can mount an overlayfs here.
fn overlayfs_works(work: &WorkDir) -> bool {
    let tried = || -> Result<(), AssembleError> {
        let folders = ["lower", "upper", "scratch", "at"].map(|name| work.subdirectory(&format!("overlay-{name}")));
        let [lower, upper, scratch, at] = folders;
        let (lower, upper, scratch, at) = (lower?, upper?, scratch?, at?);
        sandbox::mount_overlay(&lower, &upper, &scratch, &at).at("mounting", &at)?;
        Ok(sandbox::unmount(&at).at("unmounting", &at)?)
    };
    tried().is_ok()
}

struct CacheEntry {
    path: PathBuf,
    lock: File,
}

struct CachedRoot {
    entry: CacheEntry,
    tree: Tree,
    record: RootMetadata,
}

impl CacheEntry {
    fn open(path: &Path) -> Result<Option<Self>, AssembleError> {
        let file = path.join(LOCK);
        let lock = match File::options().read(true).write(true).open(&file) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::new("opening", &file, error).into()),
        };
        lock.lock_shared().at("locking", &file)?;
        Ok(path.exists().then_some(Self { path: path.to_owned(), lock }))
    }

    /// Verifies the entry. `None` if a name, byte or mode differs from what was stored.
    fn check(&self) -> Result<Option<CachedRoot>, AssembleError> {
        let Some(record) = fs::read(self.path.join(RECORD)).ok().and_then(|text| RootMetadata::parse(&text)) else {
            return Ok(None);
        };
        let Ok(tree) = fingerprinted_tree(&self.path.join(ROOT), &UnchangedFiles::default()) else { return Ok(None) };
        if state(&tree).ok() != Some(record.state) {
            return Ok(None);
        }
        // Pruning removes the least recently used entries first.
        let _ = self.lock.set_modified(SystemTime::now());
        let lock = self.lock.try_clone().at("holding", &self.path)?;
        Ok(Some(CachedRoot { entry: Self { path: self.path.clone(), lock }, tree, record }))
    }

    /// Removes a damaged entry: renames it, so that no other build opens it, and deletes its files.
    fn remove(self) {
        let aside = self.path.with_extension(format!("damaged-{}", std::process::id()));
        if fs::rename(&self.path, &aside).is_ok() {
            let _ = fs::remove_dir_all(&aside);
        }
    }
}

/// The tree of a directory with the fingerprint of each file. Files that are unchanged since they were installed have
/// theirs from `unchanged`; the others are read.
fn fingerprinted_tree(root: &Path, unchanged: &UnchangedFiles) -> Result<Tree, AssembleError> {
    let mut tree = Tree::from_directory(root)?;
    let nodes: Vec<_> = (0..tree.node_count()).filter_map(|index| tree.nth(index)).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let found = in_parallel(nodes.len(), threads, |index| match &tree.node(nodes[index]).kind {
        Kind::File(content @ Content::Host { path, .. }) => {
            match unchanged.fingerprint(&fs::symlink_metadata(path.as_path())?) {
                Some(known) => Ok(Some(known)),
                None => content.fingerprint().map(Some),
            }
        }
        _ => Ok(None),
    });
    let found = found.at("reading files of", root)?;
    for (id, fingerprint) in nodes.into_iter().zip(found) {
        if let (Kind::File(Content::Host { fingerprint: known, .. }), Some(_)) =
            (&mut tree.node_mut(id).kind, &fingerprint)
        {
            *known = fingerprint;
        }
    }
    Ok(tree)
}

/// Changes the paths in a tree of the directory `from`, which has been renamed to `to`.
fn relocate(mut tree: Tree, from: &Path, to: &Path) -> Tree {
    for id in (0..tree.node_count()).filter_map(|index| tree.nth(index)).collect::<Vec<_>>() {
        if let Kind::File(Content::Host { path, .. }) = &mut tree.node_mut(id).kind
            && let Ok(below) = path.strip_prefix(from)
        {
            *path = Arc::new(to.join(below));
        }
    }
    tree
}

/// Mounts a cached root, with an upper directory for the changes, at the path of the build's root.
fn mount_root(cached: CachedRoot, installer: &mut Installer, work: &WorkDir) -> Result<LowerTree, AssembleError> {
    let CachedRoot { entry, tree, record } = cached;
    let (lower, at) = (entry.path.join(ROOT), installer.root.path().to_owned());
    let (upper, scratch) = (work.subdirectory("changes")?, work.subdirectory("changes-scratch")?);
    // The mounted root directory has the owner and mode of the upper directory.
    let stat = fs::metadata(&lower).at("reading", &lower)?;
    chown(&upper, Some(stat.uid()), Some(stat.gid())).at("setting the owner of", &upper)?;
    fs::set_permissions(&upper, stat.permissions()).at("setting the mode of", &upper)?;
    sandbox::mount_overlay(&lower, &upper, &scratch, &at).at("mounting", &at)?;
    work.add_mount(at, entry.lock);
    let RootMetadata { extras, times, .. } = record;
    (installer.extras, installer.times) = (extras, times);
    installer.refresh()?;
    Ok(LowerTree { tree, upper })
}

impl LowerTree {
    /// The tree of the merged root, as it is visible at its mount point.
    pub fn with_changes(self) -> Result<Tree, AssembleError> {
        let Self { mut tree, upper } = self;
        overlay_upper::apply(&mut tree, &upper)?;
        Ok(tree)
    }
}
