//! The machine as the boot flow sees it: what it may ask of the kernel, and
//! where its trees are. Tests give it a made-up one.

use super::sys::Target;
use appliance_contract::medium;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the kernel's trees and the agent's own folders are; `/` apart from tests.
#[derive(Debug, Clone)]
pub struct Places {
    /// procfs.
    pub proc: PathBuf,
    /// sysfs.
    pub sys: PathBuf,
    /// devtmpfs.
    pub dev: PathBuf,
    /// The tmpfs of `/run`.
    pub run: PathBuf,
    /// Where the root image is mounted before it becomes `/`.
    pub sysroot: PathBuf,
    /// The config partition.
    pub config: PathBuf,
    /// Root of the initramfs, which module paths in the index begin at.
    pub initramfs: PathBuf,
}

impl Places {
    /// The usual places below `root`.
    pub fn below(root: &Path) -> Self {
        Self {
            proc: root.join("proc"),
            sys: root.join("sys"),
            dev: root.join("dev"),
            run: root.join("run"),
            sysroot: root.join("sysroot"),
            config: root.join("config"),
            initramfs: root.to_owned(),
        }
    }

    /// The agent's own folder on the running machine.
    pub fn ours(&self) -> PathBuf {
        self.run.join(medium::RUN.trim_start_matches("/run/"))
    }
}

/// The name under which the agent starts itself as this shell.
pub const BUILT_IN_SHELL: &str = "appliance-shell";

/// How a file system is mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MountFlags {
    /// `ro`.
    pub read_only: bool,
    /// `nosuid`.
    pub no_suid: bool,
    /// `nodev`.
    pub no_dev: bool,
    /// `noexec`.
    pub no_exec: bool,
    /// `noatime`.
    pub no_atime: bool,
}

impl MountFlags {
    /// For what is only read.
    pub const READ_ONLY: Self =
        Self { read_only: true, no_suid: false, no_dev: false, no_exec: false, no_atime: false };
    /// For file systems that hold data, not programs with privileges.
    pub const DATA: Self = Self { read_only: false, no_suid: true, no_dev: true, no_exec: false, no_atime: false };
}

/// The arguments of mount(2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Device, or a name.
    pub source: &'a str,
    /// Mount point.
    pub target: &'a Path,
    /// The file system's type.
    pub kind: &'a str,
    /// Flags.
    pub flags: MountFlags,
    /// Options of the file system.
    pub options: &'a str,
}

/// A shell that runs, by its process id.
pub type ProcessId = i32;

/// A process that is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Which process.
    pub process: ProcessId,
    /// With status 0, as a shell does that was left by its operator.
    pub clean: bool,
}

/// Which shell an operator gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// `/bin/sh` of the root image.
    Image,
    /// The agent's own few commands, where there is no root image.
    BuiltIn,
}

/// What the boot flow asks of the kernel.
pub trait Machine: fmt::Debug {
    /// Time since the kernel started.
    fn uptime(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);

    /// Mounts a file system.
    fn mount(&self, mount: &Mount<'_>) -> io::Result<()>;
    /// Makes a tree visible in a second place.
    fn bind(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Moves a mount.
    fn move_mount(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Unmounts, or lets go as soon as nobody uses it.
    fn unmount(&self, target: &Path) -> io::Result<()>;

    /// Sets the owner of a path, of a link itself.
    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()>;
    /// Whether a block device refuses writes.
    fn is_read_only(&self, device: &Path) -> io::Result<bool>;
    /// Makes a block device refuse writes, or take them.
    fn set_read_only(&self, device: &Path, on: bool) -> io::Result<()>;
    /// Loads a kernel module.
    fn load_module(&self, file: &Path) -> io::Result<()>;
    /// A read-only block device over `length` bytes of `backing` from `offset`.
    fn attach_loop(&self, backing: &Path, offset: u64, length: u64) -> io::Result<PathBuf>;
    /// Lets go of a loop device: it ends with its last user.
    fn release_loop(&self, device: &Path);
    /// Makes a device-mapper device; gives its node.
    fn create_mapped(&self, name: &str, target: &Target) -> io::Result<PathBuf>;
    /// Removes a device-mapper device.
    fn remove_mapped(&self, name: &str) -> io::Result<()>;
    /// The status line of a device-mapper device.
    fn mapped_status(&self, name: &str) -> io::Result<String>;
    /// The kernel's messages so far, oldest first.
    fn kernel_log(&self) -> Vec<String>;

    /// Starts a shell on a terminal, by its name below `/dev`. A terminal with nothing behind it is an error.
    fn start_shell(&self, shell: Shell, terminal: &str) -> io::Result<ProcessId>;
    /// The processes that ended since the last call.
    fn reap(&self) -> Vec<Ended>;
    /// Ends a process.
    fn end(&self, process: ProcessId);
    /// Runs a program of the root image to its end and returns its exit status.
    /// The text is what it printed.
    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<(i32, String)>;
    /// Waits until Enter is pressed on one of the terminals.
    fn wait_for_enter(&self, terminals: &[String]);
    /// Writes all dirty pages to disk.
    fn sync(&self);
    /// Returns only when it fails.
    fn reboot(&self) -> io::Error;
    /// Powers off; returns only where that failed.
    fn power_off(&self) -> io::Error;
}
