//! Mounts of the build itself, in its user and mount namespace: overlayfs, to write over a directory without changing
//! it, and tmpfs.

use super::outer;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Mounts `lower` at `at`; what is changed there goes to `upper`. `scratch` is
/// an empty folder beside `upper`. An error where the kernel or the file
/// system does not do that, or outside of the build's namespace.
pub fn lay_over(lower: &Path, upper: &Path, scratch: &Path, at: &Path) -> io::Result<()> {
    if !outer::entered() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // By descriptors, as colons and commas in a path would end it.
    let folders = [lower, upper, scratch]
        .map(|path| OpenOptions::new().read(true).custom_flags(nix::libc::O_PATH | nix::libc::O_DIRECTORY).open(path));
    let [lower, upper, scratch] = folders;
    let (lower, upper, scratch) = (lower?, upper?, scratch?);
    let shown = |file: &File| format!("/proc/self/fd/{}", file.as_raw_fd());
    // A user namespace may not set the attributes by which overlayfs marks what is gone, but those of users. What is not
    // volatile waits, when it is taken off, until all that anybody wrote to the file system of `upper` is on disk.
    let options =
        format!("lowerdir={},upperdir={},workdir={},userxattr,volatile", shown(&lower), shown(&upper), shown(&scratch));
    mount(Some("overlay"), at, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
    Ok(())
}

/// Mounts a file system that lies in memory, and has room for so many bytes, at
/// `at`. An error outside of the build's namespace.
pub fn memory_at(at: &Path, bytes: u64) -> io::Result<()> {
    if !outer::entered() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let options = format!("size={bytes},mode=755");
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))?;
    Ok(())
}

/// Takes a mount away, now or as soon as nothing uses it.
pub fn take_off(at: &Path) -> io::Result<()> {
    Ok(umount2(at, MntFlags::MNT_DETACH)?)
}
