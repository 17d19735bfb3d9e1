//! The boot's interface to the machine: the kernel's operations, and the paths of its file systems. Tests implement a
//! fake one.

use super::sys::Target;
use appliance_contract::medium;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Paths of the kernel's file systems and of the agent's own directories; below `/` except in tests.
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
    /// Root of the initramfs; module paths in the index are relative to it.
    pub initramfs: PathBuf,
}

impl Places {
    /// The usual places below `root`.
    pub fn new(root: &Path) -> Self {
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

    /// The agent's own directory on the running machine.
    pub fn agent_directory(&self) -> PathBuf {
        self.run.join(medium::RUN.trim_start_matches("/run/"))
    }
}

/// The program name with which the agent starts itself as a shell.
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
    /// For file systems that are only read.
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

/// A process that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitedProcess {
    /// Which process.
    pub process: ProcessId,
    /// Whether its status was 0, as of a shell that the operator left.
    pub clean: bool,
}

/// Which shell an operator gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// `/bin/sh` of the root image.
    Image,
    /// The agent's built-in commands, for when there is no root image.
    BuiltIn,
}

/// The kernel's operations that the boot uses.
pub trait Machine: fmt::Debug {
    /// Time since the kernel started.
    fn uptime(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);

    /// Mounts a file system.
    fn mount(&self, mount: &Mount<'_>) -> io::Result<()>;
    /// Mounts a tree at a second place (recursive bind mount).
    fn bind(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Moves a mount.
    fn move_mount(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Unmounts; lazily if the mount is busy.
    fn unmount(&self, target: &Path) -> io::Result<()>;

    /// Sets the owner of a path; of a symlink itself.
    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()>;
    /// Whether a block device refuses writes.
    fn is_read_only(&self, device: &Path) -> io::Result<bool>;
    /// Sets or clears the read-only flag of a block device.
    fn set_read_only(&self, device: &Path, on: bool) -> io::Result<()>;
    /// Loads a kernel module.
    fn load_module(&self, file: &Path) -> io::Result<()>;
    /// A read-only block device over `length` bytes of `backing` from `offset`.
    fn attach_loop(&self, backing: &Path, offset: u64, length: u64) -> io::Result<PathBuf>;
    /// Closes a loop device: it is removed with its last user.
    fn release_loop(&self, device: &Path);
    /// Creates a device-mapper device and returns its node.
    fn create_mapped(&self, name: &str, target: &Target) -> io::Result<PathBuf>;
    /// Removes a device-mapper device.
    fn remove_mapped(&self, name: &str) -> io::Result<()>;
    /// The status line of a device-mapper device.
    fn mapped_status(&self, name: &str) -> io::Result<String>;
    /// The kernel's messages so far, oldest first.
    fn kernel_log(&self) -> Vec<String>;

    /// Starts a shell on a terminal, by its name below `/dev`. A terminal without hardware is an error.
    fn start_shell(&self, shell: Shell, terminal: &str) -> io::Result<ProcessId>;
    /// The processes that ended since the last call.
    fn reap(&self) -> Vec<ExitedProcess>;
    /// Ends a process.
    fn end(&self, process: ProcessId);
    /// Runs a program of the root image to its end and returns its exit status.
    /// The text is what it printed.
    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<(i32, String)>;
    /// Waits until Enter is pressed on one of the terminals.
    fn wait_for_enter(&self, terminals: &[String]);
    /// Writes all dirty pages to disk.
    fn sync(&self);
    /// Reboots; returns only on failure.
    fn reboot(&self) -> io::Error;
    /// Powers off; returns only on failure.
    fn power_off(&self) -> io::Error;
}
