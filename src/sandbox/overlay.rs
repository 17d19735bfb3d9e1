//! Mounts of the build itself, in its user and mount namespace: overlayfs, which writes changes of a directory to
//! another directory, and tmpfs.

use super::outer;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Mounts an overlay at `at`: reads come from `lower`, changes go to `upper`. `scratch` is an empty directory on the
/// file system of `upper`. Fails if the kernel or the file system does not support it, and outside of the build's
/// namespace.
pub fn mount_overlay(lower: &Path, upper: &Path, scratch: &Path, at: &Path) -> io::Result<()> {
    if !outer::entered() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // Descriptors, because a colon or comma would end a path.
    let folders = [lower, upper, scratch]
        .map(|path| OpenOptions::new().read(true).custom_flags(nix::libc::O_PATH | nix::libc::O_DIRECTORY).open(path));
    let [lower, upper, scratch] = folders;
    let (lower, upper, scratch) = (lower?, upper?, scratch?);
    let shown = |file: &File| format!("/proc/self/fd/{}", file.as_raw_fd());
    // A user namespace cannot set the `trusted.` attributes by which overlayfs marks removed files, but `user.` ones.
    // Unmounting an overlay that is not volatile syncs the whole file system of `upper`.
    let options =
        format!("lowerdir={},upperdir={},workdir={},userxattr,volatile", shown(&lower), shown(&upper), shown(&scratch));
    mount(Some("overlay"), at, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
    Ok(())
}

/// Mounts a tmpfs of `bytes` bytes at `at`. Fails outside of the build's namespace.
pub fn mount_tmpfs(at: &Path, bytes: u64) -> io::Result<()> {
    if !outer::entered() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let options = format!("size={bytes},mode=755");
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))?;
    Ok(())
}

/// Unmounts `at`, now or as soon as nothing uses it.
pub fn unmount(at: &Path) -> io::Result<()> {
    Ok(umount2(at, MntFlags::MNT_DETACH)?)
}
