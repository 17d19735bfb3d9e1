//! `--reproduce`: builds the same image again, with everything varied that must not matter, and compares the two.

use super::failure::Failure;
use super::sources::Place;
use super::{Common, diff, memory_disk, other_kernel, output};
use applbuild::output::Output;
use applbuild::output::catalog::{Catalog, NAMES};
use applbuild::packages::{Cache, Digest, Lock, LockedPackage, cache, download};
use applbuild::pipeline::{BuildError, Built};
use applbuild::progress::Silent;
use applbuild::rootfs::WorkFolder;
use applbuild::sandbox;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;
use serde_json::json;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const VARIED: &str = "home, working folder and its length, umask, time zone, locale, host name, cores, order in folders, \
                      modes and times of the profile's files, an empty cache, the moment";

/// What the first build was asked for.
#[derive(Debug)]
pub struct First {
    pub kind: &'static dyn Output,
    pub profile: String,
    /// It takes files from elsewhere, which are not copied: sets, or keys outside of the profiles' directory.
    pub has_files_elsewhere: bool,
    pub place: Place,
    pub level: Option<u32>,
}

/// Builds `built` again and compares. To be called in the user namespace.
pub fn run(common: &Common, first: &First, built: &Built) -> Result<(), Failure> {
    let images = built.path.parent().unwrap_or(Path::new("."));
    let failed = |error| Failure::writing(images, error);
    // As a build's: the next build removes it where this process is killed.
    let work = Catalog::open(images).map_err(Failure::plain)?.work();
    let folder = WorkFolder::new(&work).map_err(Failure::plain)?;
    let place = folder.path().join("a folder with a longer name").join("ünd anöther");
    fs::create_dir_all(&place).map_err(failed)?;
    let second = Second { root: place.join("root"), cache: Cache::new(place.join("cache")), output: place.join("out") };
    // The first build may have needed none of its packages.
    let Place { archives, cache, client, .. } = &first.place;
    let packages: Vec<LockedPackage> = packages(&lock_of(built).map_err(failed)?).cloned().collect();
    download(&packages, archives, cache, client, &Silent).map_err(BuildError::from)?;
    let mut other_kernel = false;
    let mut make = || -> Result<(), Failure> {
        fs::create_dir_all(&second.output).map_err(failed)?;
        second.prepare(common, first, built, images).map_err(failed)?;
        other_kernel = second.build(first, built)?;
        Ok(())
    };
    let mut in_memory = memory_disk::mount(&folder, &place, room(built).map_err(failed)?);
    let mut made = make();
    if in_memory && made.is_err() {
        // Memory may have become short meanwhile; on the disk an error is one.
        sandbox::take_off(&place).map_err(failed)?;
        in_memory = false;
        made = make();
    }
    made?;
    for file in built.name.reproducible_files(images).map_err(failed)? {
        diff::compare(common, &images.join(&file), &second.output.join(&file))?;
    }
    let mut varied = VARIED.to_owned();
    for (done, what) in [(in_memory, "the file system"), (other_kernel, "the kernel's release")] {
        if done {
            varied = format!("{varied}, {what}");
        }
    }
    if common.json {
        output::event("check", json!({"image": built.path, "same": true, "varied": varied}));
    } else {
        output::text(format_args!("built twice, the same bytes; varied: {varied}\n"));
    }
    Ok(())
}

fn lock_of(built: &Built) -> io::Result<Lock> {
    Lock::parse(&fs::read_to_string(lock_path(built))?).map_err(io::Error::other)
}

/// All packages of a lock, its tools and guests among them.
fn packages(lock: &Lock) -> impl Iterator<Item = &LockedPackage> {
    std::iter::once(lock).chain(&lock.guests).flat_map(|lock| lock.packages.iter().chain(&lock.tools))
}

/// Bytes that a build of it takes at most: the packages, three times as much for what is unpacked of them and as much
/// for the roots, and blocks, root image and medium.
fn room(built: &Built) -> io::Result<u64> {
    let fetched: u64 = packages(&lock_of(built)?).map(|package| package.size).sum();
    Ok(8 * fetched + 4 * built.size)
}

fn lock_path(built: &Built) -> PathBuf {
    built.name.record_path(&built.path, "lock")
}

struct Second {
    root: PathBuf,
    cache: Cache,
    output: PathBuf,
}

impl Second {
    fn prepare(&self, common: &Common, first: &First, built: &Built, images: &Path) -> io::Result<()> {
        fs::create_dir_all(&self.root)?;
        for name in ["profiles", "templates"] {
            let from = common.root.join(name);
            if from.is_dir() {
                copy_backwards(&from, &self.root.join(name))?;
            }
        }
        // They give the second build the number of the first.
        fs::copy(images.join(NAMES), self.output.join(NAMES))?;
        // Nothing but packages: what is kept of earlier builds must not matter.
        for package in packages(&lock_of(built)?) {
            let Some(digest) = Digest::parse(&package.sha256) else { continue };
            let (from, to) =
                (first.place.cache.path(cache::Kind::Package, digest), self.cache.path(cache::Kind::Package, digest));
            fs::create_dir_all(to.parent().unwrap_or(Path::new(".")))?;
            if !to.exists() && fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to)?;
            }
        }
        Ok(())
    }

    /// Whether another kernel answered.
    fn build(&self, first: &First, built: &Built) -> Result<bool, Failure> {
        let lock = self.root.join("lock");
        let given = lock_path(built);
        fs::copy(&given, &lock).map_err(|error| Failure::reading(&given, error))?;
        let absolute = |path: &Path| std::path::absolute(path).map_err(|error| Failure::reading(path, error));
        // Whatever name this program's file has by now.
        let mut command = other_kernel::command(&format!("/proc/{}/exe", std::process::id()));
        command.current_dir(&self.root).stdin(Stdio::null()).stdout(Stdio::null());
        command.args([first.kind.command(), "--profile", &first.profile, "--offline", "--replace", "--lock", "lock"]);
        if !first.has_files_elsewhere {
            command.args(["--root", "."]);
        }
        command.arg("--cache").arg(absolute(self.cache.folder())?).arg("--output").arg(absolute(&self.output)?);
        if let Some(level) = first.level {
            command.args(["--level", &level.to_string()]);
        }
        command.env("HOME", "/nonexistent").env("TZ", "Pacific/Kiritimati").env("USER", "somebody");
        command.env("LC_ALL", "tr_TR.UTF-8").env("LANG", "tr_TR.UTF-8").env("TMPDIR", absolute(&self.root)?);
        sandbox::name_host("another-machine").map_err(Failure::plain)?;
        one_core();
        let before = umask(Mode::from_bits_truncate(0o077));
        let ended = other_kernel::run(&mut command);
        umask(before);
        match ended {
            Ok((status, other_kernel)) if status.success() => Ok(other_kernel),
            Ok((status, _)) => Err(Failure::text(format!("building the image again, to compare, ended with {status}"))),
            Err(error) => Err(Failure::text(format!("starting the build again, to compare: {error}"))),
        }
    }
}

/// What this starts from now on has one core. A machine that does not allow it varies less.
fn one_core() {
    let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) else { return };
    let first = (0..CpuSet::count()).find(|core| allowed.is_set(*core).unwrap_or(false));
    let mut one = CpuSet::new();
    if first.is_some_and(|core| one.set(core).is_ok()) {
        let _ = sched_setaffinity(Pid::from_raw(0), &one);
    }
}

/// The last name first, so that the folder's own order is another.
fn copy_backwards(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut paths = fs::read_dir(from)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    for path in paths.iter().rev() {
        let target = to.join(path.file_name().unwrap_or_default());
        let kind = fs::symlink_metadata(path)?.file_type();
        if kind.is_dir() {
            copy_backwards(path, &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(path)?, &target)?;
        } else if kind.is_file() {
            fs::write(&target, fs::read(path)?)?;
        }
    }
    Ok(())
}
