//! `iso --check`: the same image once more, with all that must not matter changed.

use super::failure::Failure;
use super::{Common, diff, output};
use applbuild::assemble::WorkFolder;
use applbuild::images::Images;
use applbuild::images::NAMES;
use applbuild::packages::{Cache, Digest, Lock, cache};
use applbuild::pipeline::Built;
use applbuild::program;
use applbuild::sandbox;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;
use serde_json::json;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// How much memory a build wants as its disk, in images of what it builds: packages, what is unpacked of them, roots,
/// blocks and the image.
const ROOM: u64 = 16;

const VARIED: &str = "home, working folder and its length, umask, time zone, locale, host name, cores, order in folders, \
                      modes and times of the profile's files, an empty cache, the moment";

/// What the first build was asked for.
#[derive(Debug)]
pub struct First {
    pub profile: String,
    /// It takes files from elsewhere, which are not copied.
    pub has_sets: bool,
    pub cache: Cache,
    pub level: Option<u32>,
}

/// Builds `built` again and compares. To be called in the user namespace.
pub fn run(common: &Common, first: &First, built: &Built) -> Result<(), Failure> {
    let images = built.path.parent().unwrap_or(Path::new("."));
    let failed = |error| Failure::writing(images, error);
    // As a build's: the next build removes it where this process is killed.
    let work = Images::open(images).map_err(Failure::plain)?.work();
    let folder = WorkFolder::new(&work).map_err(Failure::plain)?;
    let place = folder.path().join("a folder with a longer name").join("ünd anöther");
    fs::create_dir_all(&place).map_err(failed)?;
    let varied = match in_memory(&folder, &place, ROOM * built.size) {
        true => format!("{VARIED}, the file system"),
        false => VARIED.to_owned(),
    };
    let second = Second { root: place.join("root"), cache: Cache::new(place.join("cache")), output: place.join("out") };
    fs::create_dir_all(&second.output).map_err(failed)?;
    second.prepare(common, first, built, images).map_err(failed)?;
    second.build(first, built)?;
    for ending in ["iso", "manifest.json", "spdx.json", "lock", "rebuild"] {
        let one = built.path.with_file_name(format!("{}.{ending}", stem(&built.path)));
        let other = second.output.join(one.file_name().unwrap_or_default());
        diff::compare(common, &one, &other)?;
    }
    if common.json {
        output::event("check", json!({"image": built.path, "same": true, "varied": varied}));
    } else {
        output::text(format_args!("built twice, the same bytes; varied: {varied}\n"));
    }
    Ok(())
}

/// Has `place`, in `folder`, on a file system of another kind than images are on: in memory, where there is enough.
fn in_memory(folder: &WorkFolder, place: &Path, bytes: u64) -> bool {
    if available_memory().is_none_or(|free| free < bytes) || sandbox::memory_at(place, bytes).is_err() {
        return false;
    }
    if let Ok(held) = File::open(place) {
        folder.mounted(place.to_owned(), held);
    }
    true
}

/// Bytes, as the kernel estimates them (proc_meminfo(5), MemAvailable).
fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The image's file name without `.iso`.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
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
        let text = fs::read_to_string(built.path.with_file_name(format!("{}.lock", stem(&built.path))))?;
        let lock = Lock::parse(&text).map_err(io::Error::other)?;
        for lock in std::iter::once(&lock).chain(&lock.guests) {
            for package in lock.packages.iter().chain(&lock.tools) {
                let Some(digest) = Digest::parse(&package.sha256) else { continue };
                let (from, to) =
                    (first.cache.path(cache::Kind::Package, digest), self.cache.path(cache::Kind::Package, digest));
                fs::create_dir_all(to.parent().unwrap_or(Path::new(".")))?;
                if !to.exists() && fs::hard_link(&from, &to).is_err() {
                    fs::copy(&from, &to)?;
                }
            }
        }
        Ok(())
    }

    fn build(&self, first: &First, built: &Built) -> Result<(), Failure> {
        let lock = self.root.join("lock");
        let beside = built.path.with_file_name(format!("{}.lock", stem(&built.path)));
        fs::copy(&beside, &lock).map_err(|error| Failure::reading(&beside, error))?;
        let absolute = |path: &Path| std::path::absolute(path).map_err(|error| Failure::reading(path, error));
        let mut command = program::command();
        command.current_dir(&self.root).stdin(Stdio::null()).stdout(Stdio::null());
        command.args(["iso", "--profile", &first.profile, "--offline", "--replace", "--lock", "lock"]);
        if !first.has_sets {
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
        let status = command.status();
        umask(before);
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::text(format!("building the image again, to compare, ended with {status}"))),
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
