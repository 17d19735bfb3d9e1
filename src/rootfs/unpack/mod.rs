//! Packages into a root, in the order that their scripts need.

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
use crate::rootfs::dpkg::scripts::{self, Surroundings};
use crate::rootfs::dpkg::triggers;
use crate::rootfs::error::AssembleError;
use crate::rootfs::speculate::{self, Ahead};
use crate::rootfs::unpack::install::{Installer, Source};
use crate::rootfs::unpack::package::Package;
use crate::rootfs::unpack::package_files::Files;
use crate::rootfs::unpack::reader_pool::{Packages, open_all, while_reading};
use crate::rootfs::work_dir::WorkFolder;
use crate::util::file_error::At as _;
use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};

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
    let all: Vec<usize> = (0..packages.len()).collect();
    let opened = open_all(packages, files)?;
    let read = while_reading(packages, &opened, files, &staged, &[], |reading| reading.take(&all, &Silent))?;
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

/// Unpacks and configures packages in the installer's root. The files stay in `work`, too, where they were
/// unpacked.
pub fn install(
    installer: &mut Installer,
    sources: &Sources<'_>,
    work: &WorkFolder,
    progress: &dyn Progress,
) -> Result<(), AssembleError> {
    let Sources { packages, files, epoch, ahead, prune } = *sources;
    let staged = work.folder("staged")?;
    let opened = open_all(packages, files)?;
    let base = base_set::base(&opened);
    let rest: Vec<usize> = (0..packages.len()).filter(|index| !base.contains(index)).collect();
    let stand_in = stand_in_needed(&opened);
    let root = installer.root.path().to_owned();
    let print = |line: &str| progress.detail(line);
    let listen = |line: &str| {
        print(line);
        if let Some(name) = scripts::set_up(line) {
            progress.item(name);
            progress.advance(1);
        }
    };
    let mut kept = 0;
    progress.stage(Stage::Unpack, base.len() as u64, Unit::Packages);
    while_reading(packages, &opened, files, &staged, &base, |reading| {
        let lists = || -> Result<Lists, AssembleError> {
            let Some(read) = reading.all(packages.len()) else { return Ok(Lists::default()) };
            let lists = Lists::make(&read, &opened, &base, work, epoch)?;
            lists.root().into_iter().for_each(|root| speculate::modules_listed(ahead, root, prune));
            Ok(lists)
        };
        let guess = || {
            if let Some(read) = reading.all(packages.len()) {
                ahead.unpacked(speculate::guess(&read, prune));
            }
        };
        thread::scope(|scope| {
            // Scripts keep no more than one core busy: the rest is unpacked meanwhile, and what follows begun.
            let mut making = Some(scope.spawn(lists));
            let mut lists = Lists::default();
            scope.spawn(guess);
            let mut configure = || {
                let read = reading.take(&base, progress)?;
                progress.stage(Stage::Configure, packages.len() as u64, Unit::Packages);
                let (surroundings, mut database) = add_base(installer, &root, &read, stand_in, epoch, &print)?;
                // All that scripts may need of the base works once this is done.
                scripts::configure(&root, epoch, rest.is_empty(), &listen)?;
                kept += count_kept(&read);
                let read = reading.take(&rest, &Silent)?;
                kept += count_kept(&read);
                add_rest(installer, &mut database, &surroundings, &read, epoch, &print)?;
                if needs_lists(&opened) {
                    lists = joined(making.take())?;
                    lists.put(&root)?;
                }
                scripts::configure(&root, epoch, true, &listen)?;
                surroundings.take_down()?;
                scripts::certificates(&root, epoch)
            };
            // What waits for the rest need not, where that is of no use any more.
            let configured = configure().inspect_err(|_| reading.end());
            let made = making.is_some().then(|| joined(making.take()));
            configured?;
            made.unwrap_or(Ok(lists))?.settle(&root, epoch)
        })
    })?;
    if kept > 0 {
        progress.reused(&format!("{kept} unpacked packages"));
    }
    installer.refresh()
}

/// What came of the thread that lists modules; nothing where it was asked before.
fn joined(making: Option<ScopedJoinHandle<'_, Result<Lists, AssembleError>>>) -> Result<Lists, AssembleError> {
    making.map_or_else(|| Ok(Lists::default()), |making| making.join().unwrap_or_else(|panic| resume_unwind(panic)))
}

/// Tools that make an initramfs read the lists while the kernel's scripts run.
fn needs_lists(packages: &[Package]) -> bool {
    packages.iter().any(makes_initramfs)
}

fn makes_initramfs(package: &Package) -> bool {
    package.control.names("Provides").iter().any(|name| name == "linux-initramfs-tool")
}

fn count_kept(packages: &Packages) -> usize {
    packages.iter().filter(|package| package.kept).count()
}

/// A kernel asks for tools that make an initramfs; where the profile brings none, ours stand in.
fn stand_in_needed(packages: &[Package]) -> bool {
    let asks = |package: &Package| package.control.names("Depends").iter().any(|name| name == "linux-initramfs-tool");
    packages.iter().any(asks) && !packages.iter().any(makes_initramfs)
}

/// Puts packages in their places; the paths of each, for its `.list`.
fn place(installer: &mut Installer, packages: &Packages) -> Result<Vec<Vec<Vec<u8>>>, AssembleError> {
    packages.iter().map(|package| installer.place(Source::Package(package), &package.entries)).collect()
}

/// The base's packages into the empty root, ready to be configured.
fn add_base<'r>(
    installer: &mut Installer,
    root: &'r Path,
    base: &Packages,
    stand_in: bool,
    epoch: i64,
    print: &(dyn Fn(&str) + Sync),
) -> Result<(Surroundings<'r>, Database), AssembleError> {
    // The links of the merged /usr and the skeleton of folders come before the database.
    let lists = place(installer, base)?;
    let mut database = Database::create(root)?;
    base.iter().try_for_each(|package| database.add_control(package))?;
    if stand_in {
        database.add_stand_in()?;
    }
    let surroundings = Surroundings::set_up(root)?;
    surroundings.put_compiler_by()?;
    scripts::preinst(root, base, epoch, print)?;
    database.add_unpacked(&base.iter().map(Arc::as_ref).zip(lists).collect::<Vec<_>>())?;
    database.remove_lost(&installer.take_lost())?;
    Ok((surroundings, database))
}

/// The other packages, once the base is configured.
fn add_rest(
    installer: &mut Installer,
    database: &mut Database,
    surroundings: &Surroundings<'_>,
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
    surroundings.put_compiler_by()?;
    let paths = lists.iter().flatten().map(Vec::as_slice);
    triggers::activate_paths(&root.join(database::FOLDER).join("triggers"), paths)?;
    database.add_unpacked(&rest.iter().map(Arc::as_ref).zip(lists).collect::<Vec<_>>())?;
    database.remove_lost(&installer.take_lost())
}
