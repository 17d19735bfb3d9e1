//! The root cache: configured roots, kept for the next build with the same packages. A cached root is never written to:
//! a build mounts an overlayfs over it, whose upper directory is its own. The build that makes a root does the same, so
//! that a cache hit cannot show in the image.

pub(crate) mod metadata;
pub(crate) mod overlay_upper;

use crate::cache;
use crate::identity;
use crate::packages::{Lock, LockedPackage};
use crate::progress::{Progress, Silent, Stage, Unit};
use crate::rootfs::error::AssembleError;
use crate::rootfs::root_cache::metadata::{Record, state};
use crate::rootfs::unpack::install::{Extras, Installer};
use crate::rootfs::unpack::package_files::Files;
use crate::rootfs::unpack::unchanged::UnchangedFiles;
use crate::rootfs::unpack::{self, Sources};
use crate::rootfs::work_dir::WorkFolder;
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

/// Raised when what an entry holds changes; the rest of the recipe is the program, by its identity.
const FORMAT: u32 = 1;
const ROOT: &str = "root";
const RECORD: &str = "record";
/// Locked by those who use an entry; its time is when it was last used.
const LOCK: &str = cache::TREE_LOCK;

/// What is below a build's own changes, and known by its hashes.
#[derive(Debug)]
pub struct LowerTree {
    tree: Tree,
    /// Where the changes are.
    upper: PathBuf,
}

/// Whether what earlier builds made of the lock's packages, and of its tools where those are needed, is in `trees`,
/// if it is whole.
pub fn are_kept(trees: &Path, lock: &Lock, epoch: i64, with_tools: bool) -> Result<bool, AssembleError> {
    let Lock { packages, tools, .. } = lock;
    let is_kept = |path: PathBuf| path.join(RECORD).exists();
    let root = packages.is_empty() || is_kept(trees.join(key(packages, epoch)));
    Ok(root && (!with_tools || is_kept(tools_path(trees, tools))))
}

/// [`unpack::install`], or what it came to in an earlier build.
pub fn install(
    installer: &mut Installer,
    sources: &Sources<'_>,
    work: &WorkFolder,
    progress: &dyn Progress,
) -> Result<Option<LowerTree>, AssembleError> {
    let Sources { packages, files, epoch, .. } = *sources;
    let Some(trees) = work.trees().filter(|_| can_lay_over(work)) else {
        files.fetch(progress)?;
        unpack::install(installer, sources, work, progress)?;
        return Ok(None);
    };
    let path = trees.join(key(packages, epoch));
    if let Some(entry) = Entry::open(&path)? {
        progress.stage(Stage::Configure, packages.len() as u64, Unit::Packages);
        progress.item("looking through the kept tree");
        if let Some(kept) = entry.check()? {
            progress.advance(packages.len() as u64);
            progress.reused("the configured packages");
            return take(kept, installer, work).map(Some);
        }
        entry.remove();
    }
    files.fetch(progress)?;
    let new = WorkFolder::new(trees)?;
    let root = new.folder(ROOT)?;
    fs::set_permissions(&root, Permissions::from_mode(0o755)).at("setting the mode of", &root)?;
    let mut made = Installer::new(&root);
    // On the same file system, as files are linked from one to the other.
    let beside = WorkFolder::new(trees)?;
    unpack::install(&mut made, sources, &beside, progress)?;
    work.having(beside);
    let tree = known(&root, &made.unchanged)?;
    let record = Record { state: state(&tree)?, extras: std::mem::take(&mut made.extras), times: made.times };
    let entry = keep(new, &path, &record)?;
    let tree = moved(tree, &root, &entry.path.join(ROOT));
    take(CachedRoot { entry, tree, record }, installer, work).map(Some)
}

/// Gives a new root its name.
fn keep(new: WorkFolder, path: &Path, record: &Record) -> Result<Entry, AssembleError> {
    let file = new.path().join(RECORD);
    fs::write(&file, record.render()).at("writing", &file)?;
    // Another build may have made the same meanwhile; then that one is taken.
    let _ = new.keep_as(path);
    let lost = || AssembleError::from(FileError::new("opening", path, io::ErrorKind::NotFound.into()));
    Entry::open(path)?.ok_or_else(lost)
}

/// The lock's tools, unpacked into a root of their own: in an earlier build, or now.
pub fn tools(
    packages: &[LockedPackage],
    files: &Files,
    work: &WorkFolder,
    progress: &dyn Progress,
) -> Result<PathBuf, AssembleError> {
    progress.item("the tools' packages");
    let Some(trees) = work.trees() else {
        files.fetch(&Silent)?;
        return unpack::tools(packages, files, work, "tools");
    };
    let path = tools_path(trees, packages);
    if let Some(entry) = Entry::open(&path)? {
        if let Some(kept) = entry.check()? {
            work.holding(kept.entry.lock);
            return Ok(path.join(ROOT));
        }
        entry.remove();
    }
    // Who waits for this is packing the root, and shows that.
    files.fetch(&Silent)?;
    let lock = keep_tools(trees, &path, packages, files)?;
    work.holding(lock);
    Ok(path.join(ROOT))
}

/// Has the tools where [`tools`] finds them.
pub fn tools_ahead(packages: &[LockedPackage], files: &Files, trees: &Path) -> Result<(), AssembleError> {
    let path = tools_path(trees, packages);
    match Entry::open(&path)? {
        Some(_) => Ok(()),
        None => keep_tools(trees, &path, packages, files).map(drop),
    }
}

fn tools_path(trees: &Path, packages: &[LockedPackage]) -> PathBuf {
    // Nothing of them has a time that anything shows.
    trees.join(format!("tools-{}", key(packages, 0)))
}

fn keep_tools(trees: &Path, path: &Path, packages: &[LockedPackage], files: &Files) -> Result<File, AssembleError> {
    let new = WorkFolder::new(trees)?;
    let root = unpack::tools(packages, files, &new, ROOT)?;
    let record = Record {
        state: state(&known(&root, &UnchangedFiles::default())?)?,
        extras: Extras::default(),
        times: HashMap::new(),
    };
    Ok(keep(new, path, &record)?.lock)
}

/// All that decides how a root turns out.
fn key(packages: &[LockedPackage], epoch: i64) -> String {
    let mut text = format!("{FORMAT}\n{}\n{epoch}\n", identity::sha256());
    for LockedPackage { name, version, architecture, sha256, .. } in packages {
        text.push_str(&format!("{name} {version} {architecture} {sha256}\n"));
    }
    sha256::of(text).to_string()
}

/// Whether the kernel lays one folder over another here.
fn can_lay_over(work: &WorkFolder) -> bool {
    let tried = || -> Result<(), AssembleError> {
        let folders = ["lower", "upper", "scratch", "at"].map(|name| work.folder(&format!("overlay-{name}")));
        let [lower, upper, scratch, at] = folders;
        let (lower, upper, scratch, at) = (lower?, upper?, scratch?, at?);
        sandbox::lay_over(&lower, &upper, &scratch, &at).at("mounting", &at)?;
        Ok(sandbox::take_off(&at).at("unmounting", &at)?)
    };
    tried().is_ok()
}

struct Entry {
    path: PathBuf,
    lock: File,
}

struct CachedRoot {
    entry: Entry,
    tree: Tree,
    record: Record,
}

impl Entry {
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

    /// The tree, if it is in every name, byte and mode what was kept.
    fn check(&self) -> Result<Option<CachedRoot>, AssembleError> {
        let Some(record) = fs::read(self.path.join(RECORD)).ok().and_then(|text| Record::parse(&text)) else {
            return Ok(None);
        };
        let Ok(tree) = known(&self.path.join(ROOT), &UnchangedFiles::default()) else { return Ok(None) };
        if state(&tree).ok() != Some(record.state) {
            return Ok(None);
        }
        // For the pruning of what was used least recently.
        let _ = self.lock.set_modified(SystemTime::now());
        let lock = self.lock.try_clone().at("holding", &self.path)?;
        Ok(Some(CachedRoot { entry: Self { path: self.path.clone(), lock }, tree, record }))
    }

    /// Takes a damaged entry away; one that another build uses goes by its name only.
    fn remove(self) {
        let aside = self.path.with_extension(format!("damaged-{}", std::process::id()));
        if fs::rename(&self.path, &aside).is_ok() {
            let _ = fs::remove_dir_all(&aside);
        }
    }
}

/// The tree of a folder, each file known by its hashes: those of `unchanged` if the file was not changed since it was installed.
fn known(root: &Path, unchanged: &UnchangedFiles) -> Result<Tree, AssembleError> {
    let mut tree = Tree::from_folder(root)?;
    let nodes: Vec<_> = (0..tree.node_count()).filter_map(|index| tree.nth(index)).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let found = in_parallel(nodes.len(), threads, |index| match &tree.node(nodes[index]).kind {
        Kind::File(content @ Content::Host { path, .. }) => {
            match unchanged.known(&fs::symlink_metadata(path.as_path())?) {
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

/// The tree of the folder `from`, which has the name `to` by now.
fn moved(mut tree: Tree, from: &Path, to: &Path) -> Tree {
    for id in (0..tree.node_count()).filter_map(|index| tree.nth(index)).collect::<Vec<_>>() {
        if let Kind::File(Content::Host { path, .. }) = &mut tree.node_mut(id).kind
            && let Ok(below) = path.strip_prefix(from)
        {
            *path = Arc::new(to.join(below));
        }
    }
    tree
}

/// Puts a kept root where the build's root is to be.
fn take(kept: CachedRoot, installer: &mut Installer, work: &WorkFolder) -> Result<LowerTree, AssembleError> {
    let CachedRoot { entry, tree, record } = kept;
    let (lower, at) = (entry.path.join(ROOT), installer.root.path().to_owned());
    let (upper, scratch) = (work.folder("changes")?, work.folder("changes-scratch")?);
    // The root itself is the upper folder's.
    let stat = fs::metadata(&lower).at("reading", &lower)?;
    chown(&upper, Some(stat.uid()), Some(stat.gid())).at("setting the owner of", &upper)?;
    fs::set_permissions(&upper, stat.permissions()).at("setting the mode of", &upper)?;
    sandbox::lay_over(&lower, &upper, &scratch, &at).at("mounting", &at)?;
    work.mounted(at, entry.lock);
    let Record { extras, times, .. } = record;
    (installer.extras, installer.times) = (extras, times);
    installer.refresh()?;
    Ok(LowerTree { tree, upper })
}

impl LowerTree {
    /// The root with all that was laid over it, as one sees it where it is mounted.
    pub fn with_changes(self) -> Result<Tree, AssembleError> {
        let Self { mut tree, upper } = self;
        overlay_upper::apply(&mut tree, &upper)?;
        Ok(tree)
    }
}
