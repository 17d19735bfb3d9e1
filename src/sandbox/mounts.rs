//! The mounts of a sandbox: its root, and a `/dev`, `/proc`, `/sys`, `/run` and `/tmp` of its own.

use super::command::Command;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::pivot_root;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

/// Device nodes cannot be made in a user namespace, but bound.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Makes `command.root` the root of this process's mount namespace.
pub fn enter(command: &Command) -> Result<(), String> {
    let root = &command.root;
    attach(None, Path::new("/"), None, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None)?;
    attach(Some(root), root, None, MsFlags::MS_BIND | MsFlags::MS_REC, None)?;
    // tmpfs's own mode 1777 would make `>/dev/null` fail (fs.protected_regular).
    file_system(root, "dev", "tmpfs", MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, "mode=755,size=1m")?;
    devices(&root.join("dev"))?;
    file_system(root, "dev/shm", "tmpfs", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=1777")?;
    let options = "newinstance,ptmxmode=0666,mode=620,gid=5";
    file_system(root, "dev/pts", "devpts", MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, options)?;
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    file_system(root, "proc", "proc", plain, "")?;
    // The machine's own /sys would tell what hardware built the image.
    file_system(root, "sys", "tmpfs", plain | MsFlags::MS_RDONLY, "mode=555,size=4k")?;
    file_system(root, "run", "tmpfs", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=755")?;
    file_system(root, "tmp", "tmpfs", MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=1777")?;
    for bind in &command.binds {
        let target = mount_point(root, &bind.at, bind.host.is_dir())?;
        bind_to(&bind.host, &target, bind.writable)?;
    }
    std::env::set_current_dir(root).map_err(|error| format!("entering {}: {error}", root.display()))?;
    // Stacks the old root on the new one, without a folder for it (pivot_root(2)).
    pivot_root(".", ".").map_err(|errno| format!("making {} the root: {errno}", root.display()))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(|errno| format!("leaving the old root: {errno}"))?;
    std::env::set_current_dir("/").map_err(|error| format!("entering /: {error}"))
}

fn devices(dev: &Path) -> Result<(), String> {
    for name in DEVICES {
        let target = dev.join(name);
        let host = Path::new("/dev").join(name);
        fs::File::create(&target).map_err(|error| format!("making {}: {error}", target.display()))?;
        attach(Some(&host), &target, None, MsFlags::MS_BIND, None)?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(target, dev.join(name)).map_err(|error| format!("making /dev/{name}: {error}"))?;
    }
    Ok(())
}

fn file_system(root: &Path, at: &str, kind: &str, flags: MsFlags, options: &str) -> Result<(), String> {
    let target = mount_point(root, Path::new(at), true)?;
    attach(Some(Path::new(kind)), &target, Some(kind), flags, Some(options))
}

/// The place of `at` below `root`, made where it is missing. A symlink on the
/// way is refused: it would be followed on the build machine.
fn mount_point(root: &Path, at: &Path, folder: bool) -> Result<PathBuf, String> {
    let mut place = root.to_owned();
    let names: Vec<_> = at.components().filter(|part| !matches!(part, Component::RootDir)).collect();
    for (index, part) in names.iter().enumerate() {
        let Component::Normal(name) = part else {
            return Err(format!("mounting at {}: found {part:?}, expected a plain absolute path", at.display()));
        };
        place.push(name);
        let is_folder = folder || index + 1 < names.len();
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_symlink() || found.is_dir() != is_folder => {
                return Err(format!("mounting at {}: {} is in the way", at.display(), place.display()));
            }
            Ok(_) => {}
            Err(_) => {
                let made = if is_folder { fs::create_dir(&place) } else { fs::File::create(&place).map(drop) };
                made.map_err(|error| format!("making {}: {error}", place.display()))?;
            }
        }
    }
    Ok(place)
}

fn bind_to(host: &Path, target: &Path, writable: bool) -> Result<(), String> {
    attach(Some(host), target, None, MsFlags::MS_BIND, None)?;
    if writable {
        return Ok(());
    }
    // Flags that a mount of the outer namespace has may not be taken away in an
    // inner one (mount_namespaces(7)), so they are named again.
    let found = statvfs(target).map_err(|errno| format!("reading the flags of {}: {errno}", target.display()))?.flags();
    let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    for (has, flag) in [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        if found.contains(has) {
            flags |= flag;
        }
    }
    attach(None, target, None, flags, None)
}

fn attach(
    source: Option<&Path>,
    target: &Path,
    kind: Option<&str>,
    flags: MsFlags,
    options: Option<&str>,
) -> Result<(), String> {
    mount(source, target, kind, flags, options).map_err(|errno| {
        let shown = source.map(|source| format!("{} ", source.display())).unwrap_or_default();
        let hint = match kind {
            Some("proc") => "; a container that hides parts of /proc forbids this (docker, podman: --security-opt systempaths=unconfined)",
            _ => "",
        };
        format!("mounting {shown}at {}: {errno}{hint}", target.display())
    })
}
