//! A disk in memory, where there is enough of it.

use crate::rootfs::WorkFolder;
use crate::sandbox;
use std::fs::{self, File};
use std::path::Path;

/// Has `at`, in `folder`, lie in memory, with room for so many bytes; false where it stays on the disk.
pub fn mount(folder: &WorkFolder, at: &Path, bytes: u64) -> bool {
    // Programs want memory, too.
    if available().is_none_or(|free| free < bytes.saturating_add(bytes / 2)) || sandbox::memory_at(at, bytes).is_err() {
        return false;
    }
    let usable = File::open(at).is_ok_and(|held| {
        folder.mounted(at.to_owned(), held);
        takes_attributes(at)
    });
    if !usable {
        let _ = sandbox::take_off(at);
    }
    usable
}

/// Overlayfs keeps its notes in attributes of this kind, which memory takes since Linux 6.6.
fn takes_attributes(folder: &Path) -> bool {
    let file = folder.join("attributes");
    let tried = File::create(&file).and_then(|_| xattr::set(&file, "user.applbuild", b"1"));
    let _ = fs::remove_file(&file);
    tried.is_ok()
}

/// Bytes that are free, as the kernel estimates them (proc_meminfo(5), MemAvailable), within what this control group
/// may have (kernel: Documentation/admin-guide/cgroup-v2.rst, memory.max).
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
