//! Installs and configures packages in a root, in the order that their scripts need.

pub(crate) mod entry;
pub(crate) mod install;
pub(crate) mod package;
pub(crate) mod package_files;
pub(crate) mod reader_pool;
pub(crate) mod root_dir;
pub(crate) mod stage;
pub(crate) mod unchanged;

use crate::packages::LockedPackage;
use crate::profile::Prune;
use crate::progress::{Progress, Silent, Stage, Unit};
use crate::rootfs::dpkg::base_set;
use crate::rootfs::dpkg::database::{self, Database};
use crate::rootfs::dpkg::depmod::Lists;
use crate::rootfs::dpkg::scripts::{self, ScriptEnvironment};
use crate::rootfs::dpkg::triggers;
use crate::rootfs::error::AssembleError;
use crate::rootfs::speculate::{self, SpeculationHooks};
use crate::rootfs::unpack::install::{Installer, Source};
use crate::rootfs::unpack::package::Package;
use crate::rootfs::unpack::package_files::Files;
use crate::rootfs::unpack::reader_pool::{Packages, open_all, with_reader_pool};
use crate::rootfs::work_dir::WorkDir;
use crate::util::file_error::At as _;
use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};

/// The inputs of a root.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    pub packages: &'a [LockedPackage],
    pub files: &'a Files,
    pub epoch: i64,
    /// Hooks that start speculative work on the unpacked files.
    pub hooks: &'a dyn SpeculationHooks,
    /// Applied to the files before the hooks get them.
    pub prune: &'a Prune,
}

/// The sandbox's mount points, and the directory that tools may write to. A root of tools is made with them, so that
/// running the tools does not change it.
const MOUNT_POINTS: [&str; 6] = ["dev", "proc", "run", "sys", "tmp", "work"];

/// Unpacks the lock's tools into a root of their own. Their maintainer scripts are not needed.
pub fn tools(packages: &[LockedPackage], files: &Files, work: &WorkDir, name: &str) -> Result<PathBuf, AssembleError> {
    let root = work.subdirectory(name)?;
    let staged = work.subdirectory("tools-staged")?;
    let all: Vec<usize> = (0..packages.len()).collect();
    let opened = open_all(packages, files)?;
    let read = with_reader_pool(packages, &opened, files, &staged, &[], |pool| pool.take(&all, &Silent))?;
    let mut installer = Installer::new(&root);
    let order = base_set::base(&opened);
    let rest = all.into_iter().filter(|index| !order.contains(index));
    for index in order.iter().copied().chain(rest) {
        installer.place(Source::Package(&read[index]), &read[index].entries)?;
    }
    for name in MOUNT_POINTS {
        let path = root.join(name);
        fs::create_dir_all(&path).at("making", &path)?;
    }
    fs::remove_dir_all(&staged).at("removing", &staged)?;
    Ok(root)
}

/// Unpacks and configures packages in the installer's root. The staged files also stay in `work`.
pub fn install(
    installer: &mut Installer,
    sources: &Sources<'_>,
    work: &WorkDir,
    progress: &dyn Progress,
) -> Result<(), AssembleError> {
    let Sources { packages, files, epoch, hooks, prune } = *sources;
    let staged = work.subdirectory("staged")?;
    let opened = open_all(packages, files)?;
    let base = base_set::base(&opened);
    let rest: Vec<usize> = (0..packages.len()).filter(|index| !base.contains(index)).collect();
    let stand_in = stand_in_needed(&opened);
    let root = installer.root.path().to_owned();
    let print = |line: &str| progress.detail(line);
    let listen = |line: &str| {
        print(line);
        if let Some(name) = scripts::package_being_set_up(line) {
            progress.item(name);
            progress.advance(1);
        }
    };
    let mut cached = 0;
    progress.stage(Stage::Unpack, base.len() as u64, Unit::Packages);
    with_reader_pool(packages, &opened, files, &staged, &base, |pool| {
        let lists = || -> Result<Lists, AssembleError> {
            let Some(read) = pool.all(packages.len()) else { return Ok(Lists::default()) };
            let lists = Lists::make(&read, &opened, &base, work, epoch)?;
            lists.root().into_iter().for_each(|root| speculate::modules_listed(hooks, root, prune));
            Ok(lists)
        };
        let guess = || {
            if let Some(read) = pool.all(packages.len()) {
                hooks.on_unpacked(speculate::guess(&read, prune));
            }
        };
        thread::scope(|scope| {
            // Scripts use at most one core. In parallel the other packages are unpacked and later stages begin.
            let mut listing = Some(scope.spawn(lists));
            let mut lists = Lists::default();
            scope.spawn(guess);
            let mut configure = || {
                let read = pool.take(&base, progress)?;
                progress.stage(Stage::Configure, packages.len() as u64, Unit::Packages);
                let (environment, mut database) = add_base(installer, &root, &read, stand_in, epoch, &print)?;
                // After this the base is configured, and the scripts of other packages can use it.
                scripts::configure(&root, epoch, rest.is_empty(), &listen)?;
                cached += count_cached(&read);
                let read = pool.take(&rest, &Silent)?;
                cached += count_cached(&read);
                add_rest(installer, &mut database, &environment, &read, epoch, &print)?;
                if needs_lists(&opened) {
                    lists = join_lists(listing.take())?;
                    lists.put(&root)?;
                }
                scripts::configure(&root, epoch, true, &listen)?;
                environment.remove()?;
                scripts::certificates(&root, epoch)
            };
            // After an error the threads that wait for other packages must not wait any longer.
            let configured = configure().inspect_err(|_| pool.end());
            let made = listing.is_some().then(|| join_lists(listing.take()));
            configured?;
            made.unwrap_or(Ok(lists))?.settle(&root, epoch)
        })
    })?;
    if cached > 0 {
        progress.reused(&format!("{cached} unpacked packages"));
    }
    installer.refresh()
}

/// Joins the thread that lists modules. Returns no lists if it was joined before.
fn join_lists(listing: Option<ScopedJoinHandle<'_, Result<Lists, AssembleError>>>) -> Result<Lists, AssembleError> {
    listing.map_or_else(|| Ok(Lists::default()), |listing| listing.join().unwrap_or_else(|panic| resume_unwind(panic)))
}

/// Whether scripts need the module lists: initramfs tools read them while the kernel's scripts run.
fn needs_lists(packages: &[Package]) -> bool {
    packages.iter().any(makes_initramfs)
}

fn makes_initramfs(package: &Package) -> bool {
    package.control.names("Provides").iter().any(|name| name == "linux-initramfs-tool")
}

fn count_cached(packages: &Packages) -> usize {
    packages.iter().filter(|package| package.from_cache).count()
}

/// Whether the stand-in for initramfs tools is needed: a kernel depends on such tools, and no package provides them.
fn stand_in_needed(packages: &[Package]) -> bool {
    let asks = |package: &Package| package.control.names("Depends").iter().any(|name| name == "linux-initramfs-tool");
    packages.iter().any(asks) && !packages.iter().any(makes_initramfs)
}

/// Installs the packages' files. Returns the paths of each package, for its `.list`.
fn place(installer: &mut Installer, packages: &Packages) -> Result<Vec<Vec<Vec<u8>>>, AssembleError> {
    packages.iter().map(|package| installer.place(Source::Package(package), &package.entries)).collect()
}

/// Installs the base's packages into the empty root, ready to be configured.
fn add_base<'r>(
    installer: &mut Installer,
    root: &'r Path,
    base: &Packages,
    stand_in: bool,
    epoch: i64,
    print: &(dyn Fn(&str) + Sync),
) -> Result<(ScriptEnvironment<'r>, Database), AssembleError> {
    // The symlinks of the merged /usr and the basic directories must exist before the database.
    let lists = place(installer, base)?;
    let mut database = Database::create(root)?;
    base.iter().try_for_each(|package| database.add_control(package))?;
    if stand_in {
        database.add_stand_in()?;
    }
    let environment = ScriptEnvironment::set_up(root)?;
    environment.replace_python_compiler()?;
    scripts::preinst(root, base, epoch, print)?;
    database.add_unpacked(&base.iter().map(Arc::as_ref).zip(lists).collect::<Vec<_>>())?;
    database.remove_lost(&installer.take_lost())?;
    Ok((environment, database))
}

/// Installs the other packages, after the base is configured.
fn add_rest(
    installer: &mut Installer,
    database: &mut Database,
    environment: &ScriptEnvironment<'_>,
    rest: &Packages,
    epoch: i64,
    print: &(dyn Fn(&str) + Sync),
) -> Result<(), AssembleError> {
    if rest.is_empty() {
        return Ok(());
    }
    let root = installer.root.path().to_owned();
    rest.iter().try_for_each(|package| database.add_control(package))?;
    scripts::preinst(&root, rest, epoch, print)?;
    installer.refresh()?;
    let lists = place(installer, rest)?;
    environment.replace_python_compiler()?;
    let paths = lists.iter().flatten().map(Vec::as_slice);
    triggers::activate_paths(&root.join(database::FOLDER).join("triggers"), paths)?;
    database.add_unpacked(&rest.iter().map(Arc::as_ref).zip(lists).collect::<Vec<_>>())?;
    database.remove_lost(&installer.take_lost())
}
