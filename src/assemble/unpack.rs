//! Packages into a root, in the order that their scripts need.

use super::ahead::{self, Ahead};
use super::database::{self, Database};
use super::error::{AssembleError, io_at};
use super::order;
use super::package::Package;
use super::place::{Placer, Source};
use super::scripts;
use super::triggers;
use super::work::WorkFolder;
use crate::packages::LockedPackage;
use crate::profile::Prune;
use crate::progress::{Progress, Silent, Stage, Unit};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Where the verified package files are, by their SHA-256 as the lock writes it.
pub type Files = BTreeMap<String, PathBuf>;

/// What a root is made from.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    pub packages: &'a [LockedPackage],
    pub files: &'a Files,
    pub epoch: i64,
    /// May begin with what is unpacked, less what these rules take away.
    pub ahead: &'a dyn Ahead,
    pub prune: &'a Prune,
}

/// What the sandbox mounts over, and the folder that a tool may write to: a
/// root of tools is made whole, so that running them changes nothing in it.
const MOUNT_POINTS: [&str; 6] = ["dev", "proc", "run", "sys", "tmp", "work"];

/// Unpacks the lock's tools, whose scripts nobody needs, into a root of their own.
pub fn tools(
    packages: &[LockedPackage],
    files: &Files,
    work: &WorkFolder,
    name: &str,
) -> Result<PathBuf, AssembleError> {
    let root = work.folder(name)?;
    let staged = work.folder("tools-staged")?;
    let read = read_all(packages, files, &staged, &Silent)?;
    let mut placer = Placer::new(&root);
    let order = order::base(&read);
    let rest = (0..read.len()).filter(|index| !order.contains(index));
    for index in order.iter().copied().chain(rest) {
        placer.place(Source::Package(&read[index]), &read[index].entries)?;
    }
    for name in MOUNT_POINTS {
        let path = root.join(name);
        fs::create_dir_all(&path).map_err(io_at("making", &path))?;
    }
    fs::remove_dir_all(&staged).map_err(io_at("removing", &staged))?;
    Ok(root)
}

/// Unpacks and configures packages in the placer's root.
pub fn install(
    placer: &mut Placer,
    sources: &Sources<'_>,
    work: &WorkFolder,
    progress: &dyn Progress,
) -> Result<(), AssembleError> {
    let Sources { packages, files, ahead, prune, .. } = *sources;
    progress.stage(Stage::Unpack, packages.len() as u64, Unit::Packages);
    let staged = work.folder("staged")?;
    let read = read_all(packages, files, &staged, progress)?;
    ahead::while_working(ahead, &read, prune, || configure(placer, &read, sources, progress))?;
    fs::remove_dir_all(&staged).map_err(io_at("removing", &staged))
}

/// Puts packages into the placer's root, and configures them there.
fn configure(
    placer: &mut Placer,
    read: &[Package],
    sources: &Sources<'_>,
    progress: &dyn Progress,
) -> Result<(), AssembleError> {
    let Sources { epoch, ahead, prune: rules, .. } = *sources;
    let base = order::base(read);
    let rest: Vec<usize> = (0..read.len()).filter(|index| !base.contains(index)).collect();
    let root = placer.root.path().to_owned();
    // The links of the merged /usr and the skeleton of folders come before the database.
    let mut lists = place(placer, read, &base)?;
    let mut database = Database::create(&root)?;
    let pick = |indices: &[usize]| indices.iter().map(|&index| &read[index]).collect::<Vec<_>>();
    for package in pick(&base) {
        database.add_control(package)?;
    }
    if stand_in_needed(read) {
        database.add_stand_in()?;
    }
    progress.stage(Stage::Configure, read.len() as u64, Unit::Packages);
    let surroundings = scripts::Surroundings::set_up(&root)?;
    surroundings.put_compiler_by()?;
    scripts::preinst(&root, &pick(&base), epoch)?;
    database.add_unpacked(&pick(&base).into_iter().zip(lists).collect::<Vec<_>>())?;
    database.remove_lost(&placer.take_lost())?;
    let listen = |name: &str| {
        progress.item(name);
        progress.advance(1);
    };
    // All that scripts may need of the base works once this is done.
    scripts::configure(&root, epoch, rest.is_empty(), &listen)?;
    if !rest.is_empty() {
        for package in pick(&rest) {
            database.add_control(package)?;
        }
        scripts::preinst(&root, &pick(&rest), epoch)?;
        placer.refresh()?;
        lists = place(placer, read, &rest)?;
        surroundings.put_compiler_by()?;
        let paths = lists.iter().flatten().map(Vec::as_slice);
        triggers::activate_paths(&root.join(database::FOLDER).join("triggers"), paths)?;
        database.add_unpacked(&pick(&rest).into_iter().zip(lists).collect::<Vec<_>>())?;
        database.remove_lost(&placer.take_lost())?;
    }
    thread::scope(|scope| {
        let modules = scope.spawn(|| {
            scripts::depmod(&root, epoch)?;
            ahead::modules_listed(ahead, &root, rules);
            Ok(())
        });
        let configured = || {
            scripts::configure(&root, epoch, true, &listen)?;
            surroundings.take_down()?;
            scripts::certificates(&root, epoch)
        };
        let configured = configured();
        let modules = modules.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        configured.and(modules)
    })?;
    placer.refresh()
}

/// A kernel asks for tools that make an initramfs; where the profile brings none, ours stand in.
fn stand_in_needed(packages: &[Package]) -> bool {
    let asks = |package: &Package| package.control.names("Depends").iter().any(|name| name == "linux-initramfs-tool");
    let gives = |package: &Package| package.control.names("Provides").iter().any(|name| name == "linux-initramfs-tool");
    packages.iter().any(asks) && !packages.iter().any(gives)
}

fn place(placer: &mut Placer, packages: &[Package], indices: &[usize]) -> Result<Vec<Vec<Vec<u8>>>, AssembleError> {
    indices.iter().map(|&index| placer.place(Source::Package(&packages[index]), &packages[index].entries)).collect()
}

/// Reads all packages on all cores, the largest first; the order of the answer is the lock's.
fn read_all(
    packages: &[LockedPackage],
    files: &Files,
    staged: &Path,
    progress: &dyn Progress,
) -> Result<Vec<Package>, AssembleError> {
    let mut queue: Vec<usize> = (0..packages.len()).collect();
    queue.sort_by_key(|&index| std::cmp::Reverse(packages[index].size));
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    let workers = thread::available_parallelism().map_or(1, usize::from).min(packages.len());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(&index) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let package = &packages[index];
                    progress.item(&package.name);
                    let result = read_one(package, files, &staged.join(index.to_string()));
                    progress.advance(1);
                    let failed = result.is_err();
                    results.lock().unwrap_or_else(PoisonError::into_inner).insert(index, result);
                    if failed {
                        next.store(queue.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

fn read_one(locked: &LockedPackage, files: &Files, folder: &Path) -> Result<Package, AssembleError> {
    let file = files
        .get(&locked.sha256)
        .ok_or_else(|| AssembleError::NotFetched { name: locked.name.clone(), version: locked.version.clone() })?;
    Package::read(locked, file, folder)
}
