//! `--reproduce`: builds the same image again in a different environment, and compares the two images.

mod fake_uname;
mod tmpfs;

use crate::cache::{self, Cache};
use crate::differ::{self, DiffError, Difference};
use crate::output::Output;
use crate::output::catalog::{Catalog, CatalogError, NAMES};
use crate::packages::{Archives, Client, Lock, LockedPackage, download};
use crate::pipeline::{BuildError, Built};
use crate::progress::Silent;
use crate::rootfs::{AssembleError, WorkDir};
use crate::sandbox::{self, SandboxError};
use crate::util::file_error::{At, FileError};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

const VARIED: &str = "home, working directory and its length, umask, time zone, locale, host name, cores, \
                      order in directories, modes and times of the profile's files, an empty cache, the time";

/// The request of the first build, and the source of its packages.
#[derive(Debug)]
pub struct Reproduction {
    /// The kind of output.
    pub kind: &'static dyn Output,
    /// The directory that holds `profiles/` and `templates/`.
    pub root: PathBuf,
    /// The profile's name.
    pub profile: String,
    /// Whether the profile uses files outside of `profiles/`, which are not copied: tar sets, or keys.
    pub has_files_elsewhere: bool,
    /// The archives of packages that the cache lacks.
    pub archives: Archives,
    /// The first build's cache.
    pub cache: Cache,
    /// Fetches those packages.
    pub client: Client,
    /// The compression level, if one was given.
    pub level: Option<u32>,
}

/// The result of the second build.
#[derive(Debug)]
pub struct Outcome {
    /// The first difference; `None` if the two builds are the same.
    pub difference: Option<FilesDiffer>,
    /// What was varied, in words.
    pub varied: String,
}

/// Two files of one name that differ.
#[derive(Debug)]
pub struct FilesDiffer {
    /// The first build's file.
    pub first: PathBuf,
    /// The second build's file.
    pub second: PathBuf,
    /// The first difference in them.
    pub difference: Difference,
}

/// Why an image could not be built again or not be compared.
#[derive(Debug, thiserror::Error)]
pub enum ReproduceError {
    /// The packages of the lock could not be fetched.
    #[error(transparent)]
    Build(Box<BuildError>),
    /// The catalog of images could not be opened.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The work directory could not be made.
    #[error(transparent)]
    Work(#[from] AssembleError),
    /// The host name could not be changed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A file could not be compared.
    #[error(transparent)]
    Compare(#[from] DiffError),
    /// A file of either build could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The second build failed and printed its own error.
    #[error("building the image again, to compare, ended with {status}")]
    Ended {
        /// How it ended.
        status: ExitStatus,
    },
    /// The second build could not be started.
    #[error("starting the build again, to compare")]
    Start {
        /// The system's error.
        source: io::Error,
    },
}

impl From<BuildError> for ReproduceError {
    fn from(error: BuildError) -> Self {
        Self::Build(Box::new(error))
    }
}

impl Reproduction {
    /// Builds `built` again and compares the two images. Must be called in the user namespace.
    pub fn run(&self, built: &Built) -> Result<Outcome, ReproduceError> {
        let images = built.path.parent().unwrap_or(Path::new("."));
        // A work directory like a build's: if this process is killed, the next build removes it.
        let folder = WorkDir::new(&Catalog::open(images)?.work())?;
        let place = folder.path().join("a folder with a longer name").join("ünd anöther");
        fs::create_dir_all(&place).at("making", &place)?;
        let second =
            SecondBuild { root: place.join("root"), cache: Cache::new(place.join("cache")), output: place.join("out") };
        // The first build may not have fetched its packages, if it reused cached trees.
        let lock = lock_of(built)?;
        let packages: Vec<LockedPackage> = packages(&lock).cloned().collect();
        download(&packages, &self.archives, &self.cache, &self.client, &Silent).map_err(BuildError::from)?;
        let mut other_kernel = false;
        let mut make = || -> Result<(), ReproduceError> {
            second.prepare(self, &lock, images)?;
            other_kernel = second.build(self, built)?;
            Ok(())
        };
        let mut in_memory = tmpfs::mount(&folder, &place, size_estimate(&lock, built));
        let mut made = make();
        if in_memory && made.is_err() {
            // Memory may have run out meanwhile. An error on disk is a real one.
            sandbox::unmount(&place).at("unmounting", &place)?;
            in_memory = false;
            made = make();
        }
        made?;
        for file in built.name.reproducible_files(images).at("reading", images)? {
            let (first, second) = (images.join(&file), second.output.join(&file));
            if let Some(difference) = differ::compare(&first, &second)? {
                let difference = Some(FilesDiffer { first, second, difference });
                return Ok(Outcome { difference, varied: varied(in_memory, other_kernel) });
            }
        }
        Ok(Outcome { difference: None, varied: varied(in_memory, other_kernel) })
    }
}

/// What was varied, in words.
fn varied(in_memory: bool, other_kernel: bool) -> String {
    let mut varied = VARIED.to_owned();
    for (done, what) in [(in_memory, "the file system"), (other_kernel, "the kernel's release")] {
        if done {
            varied = format!("{varied}, {what}");
        }
    }
    varied
}

fn lock_of(built: &Built) -> Result<Lock, ReproduceError> {
    let path = lock_path(built);
    let text = fs::read_to_string(&path).at("reading", &path)?;
    Lock::parse(&text).map_err(|source| BuildError::Lock { path, source }.into())
}

/// All packages of a lock, including those of its tools and guests.
fn packages(lock: &Lock) -> impl Iterator<Item = &LockedPackage> {
    std::iter::once(lock).chain(&lock.guests).flat_map(|lock| lock.packages.iter().chain(&lock.tools))
}

/// The most bytes that a build from the lock takes: the packages, three times as much for the unpacked packages, as
/// much again for the roots, and the blocks, the root image and the medium.
fn size_estimate(lock: &Lock, built: &Built) -> u64 {
    let fetched: u64 = packages(lock).map(|package| package.size).sum();
    8 * fetched + 4 * built.size
}

fn lock_path(built: &Built) -> PathBuf {
    built.name.record_path(&built.path, "lock")
}

struct SecondBuild {
    root: PathBuf,
    cache: Cache,
    output: PathBuf,
}

impl SecondBuild {
    fn prepare(&self, first: &Reproduction, lock: &Lock, images: &Path) -> Result<(), FileError> {
        fs::create_dir_all(&self.output).at("making", &self.output)?;
        fs::create_dir_all(&self.root).at("making", &self.root)?;
        for name in ["profiles", "templates"] {
            let from = first.root.join(name);
            if from.is_dir() {
                copy_in_reverse_order(&from, &self.root.join(name)).at("copying", &from)?;
            }
        }
        // The catalog's names give the second build the version of the first.
        let names = images.join(NAMES);
        fs::copy(&names, self.output.join(NAMES)).at("copying", &names)?;
        // Only packages are copied: other cached content must not affect the image.
        for package in packages(lock) {
            let (from, to) = (
                first.cache.path(cache::FileKind::Package, package.sha256),
                self.cache.path(cache::FileKind::Package, package.sha256),
            );
            let directory = to.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(directory).at("making", directory)?;
            if !to.exists() && fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to).at("copying", &from)?;
            }
        }
        Ok(())
    }

    /// Runs the second build; returns whether the fake kernel release was in effect.
    fn build(&self, first: &Reproduction, built: &Built) -> Result<bool, ReproduceError> {
        let lock = self.root.join("lock");
        let given = lock_path(built);
        fs::copy(&given, &lock).at("reading", &given)?;
        let absolute = |path: &Path| std::path::absolute(path).at("reading", path);
        // By the process, as the program's file may have been renamed or replaced.
        let mut command = fake_uname::command(&format!("/proc/{}/exe", std::process::id()));
        command.current_dir(&self.root).stdin(Stdio::null()).stdout(Stdio::null());
        command.args([first.kind.command(), "--profile", &first.profile, "--offline", "--replace", "--lock", "lock"]);
        if !first.has_files_elsewhere {
            command.args(["--root", "."]);
        }
        command.arg("--cache").arg(absolute(self.cache.directory())?).arg("--output").arg(absolute(&self.output)?);
        if let Some(level) = first.level {
            command.args(["--level", &level.to_string()]);
        }
        command.env("HOME", "/nonexistent").env("TZ", "Pacific/Kiritimati").env("USER", "somebody");
        command.env("LC_ALL", "tr_TR.UTF-8").env("LANG", "tr_TR.UTF-8").env("TMPDIR", absolute(&self.root)?);
        sandbox::set_hostname("another-machine")?;
        limit_to_one_core();
        let before = umask(Mode::from_bits_truncate(0o077));
        let ended = fake_uname::run(&mut command);
        umask(before);
        let (status, other_kernel) = ended.map_err(|source| ReproduceError::Start { source })?;
        if status.success() { Ok(other_kernel) } else { Err(ReproduceError::Ended { status }) }
    }
}

/// Restricts processes started from now on to one core. Best effort: without it, the environments vary less.
fn limit_to_one_core() {
    let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) else { return };
    let first = (0..CpuSet::count()).find(|core| allowed.is_set(*core).unwrap_or(false));
    let mut one = CpuSet::new();
    if first.is_some_and(|core| one.set(core).is_ok()) {
        let _ = sched_setaffinity(Pid::from_raw(0), &one);
    }
}

/// Copies a directory in reverse order of names, so that the file system lists it in another order.
fn copy_in_reverse_order(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut paths = fs::read_dir(from)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    for path in paths.iter().rev() {
        let target = to.join(path.file_name().unwrap_or_default());
        let kind = fs::symlink_metadata(path)?.file_type();
        if kind.is_dir() {
            copy_in_reverse_order(path, &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(path)?, &target)?;
        } else if kind.is_file() {
            fs::write(&target, fs::read(path)?)?;
        }
    }
    Ok(())
}
