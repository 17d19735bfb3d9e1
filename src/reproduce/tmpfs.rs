//! Mounts a tmpfs for the second build, if there is enough memory.

use crate::rootfs::WorkDir;
use crate::sandbox;
use std::fs::{self, File};
use std::path::Path;

/// Mounts a tmpfs of `bytes` bytes at `at` in `folder`. Returns false if that is not possible; `at` then stays on disk.
pub fn mount(folder: &WorkDir, at: &Path, bytes: u64) -> bool {
    // The build's programs need memory too.
    if available().is_none_or(|free| free < bytes.saturating_add(bytes / 2)) || sandbox::mount_tmpfs(at, bytes).is_err()
    {
        return false;
    }
    let usable = File::open(at).is_ok_and(|held| {
        folder.add_mount(at.to_owned(), held);
        takes_attributes(at)
    });
    if !usable {
        let _ = sandbox::unmount(at);
    }
    usable
}

/// Whether the directory supports the `user.` extended attributes that overlayfs needs; tmpfs does since Linux 6.6.
fn takes_attributes(folder: &Path) -> bool {
    let file = folder.join("attributes");
    let tried = File::create(&file).and_then(|_| xattr::set(&file, "user.applbuild", b"1"));
    let _ = fs::remove_file(&file);
    tried.is_ok()
}

/// Available memory in bytes, as the kernel estimates it (proc_meminfo(5), MemAvailable), within the limit of this
/// control group (kernel: Documentation/admin-guide/cgroup-v2.rst, memory.max).
fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let free = line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)?;
    Some(limit().map_or(free, |limit| free.min(limit)))
}

fn limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    fs::read_to_string(Path::new("/sys/fs/cgroup").join(own).join("memory.max")).ok()?.trim().parse().ok()
}
