//! The kernel's interfaces that have no safe wrapper: loop, device-mapper,
//! the block layer's read-only flag, netlink, and starting a program on a terminal.
//! The only module of the agent with `unsafe`.
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::libc;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

// linux/fs.h
nix::ioctl_write_ptr_bad! {
    /// Makes a block device refuse writes, or take them.
    blkroset, 0x125d, libc::c_int
}
nix::ioctl_read_bad! {
    /// Whether a block device refuses writes.
    blkroget, 0x125e, libc::c_int
}
// linux/cdrom.h; the argument is a slot, the constant means "this one"
nix::ioctl_write_int_bad! {
    /// State of a CD drive's tray.
    cdrom_drive_status, 0x5326
}
const CDSL_CURRENT: libc::c_int = libc::c_int::MAX;
const CDS_NO_DISC: libc::c_int = 1;
const CDS_TRAY_OPEN: libc::c_int = 2;
const CDS_DRIVE_NOT_READY: libc::c_int = 3;
// linux/loop.h
nix::ioctl_write_ptr_bad! {
    /// Binds a loop device to a file.
    loop_configure, 0x4c0a, LoopConfig
}
nix::ioctl_none_bad! {
    /// The number of a free loop device.
    loop_get_free, 0x4c82
}
// linux/dm-ioctl.h
nix::ioctl_readwrite! {
    /// Makes a device-mapper device.
    dm_device_create, 0xfd, 3, DmIoctl
}
nix::ioctl_readwrite! {
    /// Removes a device-mapper device.
    dm_device_remove, 0xfd, 4, DmIoctl
}
nix::ioctl_readwrite! {
    /// Activates a device-mapper device's table.
    dm_device_suspend, 0xfd, 6, DmIoctl
}
nix::ioctl_readwrite! {
    /// Loads a table into a device-mapper device.
    dm_table_load, 0xfd, 9, DmIoctl
}
nix::ioctl_readwrite! {
    /// Asks for a device-mapper device's status.
    dm_table_status, 0xfd, 12, DmIoctl
}

const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;

const DM_READONLY_FLAG: u32 = 1;

/// `struct loop_config` with its `struct loop_info64`, linux/loop.h.
#[repr(C)]
struct LoopConfig {
    descriptor: u32,
    block_size: u32,
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
    reserved: [u64; 8],
}

/// `struct dm_ioctl`, linux/dm-ioctl.h, with room for one target and its status.
#[repr(C)]
struct DmIoctl {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_number: u32,
    padding: u32,
    device: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    tail: [u8; 7],
}

/// What is passed to the kernel: the header, and the target behind it.
#[repr(C)]
struct DmRequest {
    header: DmIoctl,
    sector_start: u64,
    length: u64,
    status: i32,
    next: u32,
    target_type: [u8; 16],
    text: [u8; DM_TEXT],
}

const DM_TEXT: usize = 1024;
/// `sizeof(struct dm_ioctl)`; the macros derive the request numbers from it.
const DM_HEADER: usize = 312;
const _: () = assert!(size_of::<DmIoctl>() == DM_HEADER && size_of::<LoopConfig>() == 304);

/// One device-mapper target that covers a whole device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Of the device-mapper.
    pub kind: &'static str,
    /// Length in sectors of 512 bytes.
    pub sectors: u64,
    /// As the target's kind wants them.
    pub parameters: String,
}

/// Whether a block device refuses writes.
pub fn is_read_only(device: &File) -> io::Result<bool> {
    let mut value = 0;
    // SAFETY: BLKROGET writes one int.
    unsafe { blkroget(device.as_raw_fd(), &mut value) }?;
    Ok(value != 0)
}

/// Makes a block device refuse writes, or take them.
pub fn set_read_only(device: &File, on: bool) -> io::Result<()> {
    // SAFETY: BLKROSET reads one int.
    unsafe { blkroset(device.as_raw_fd(), &libc::c_int::from(on)) }?;
    Ok(())
}

/// Whether a CD drive says that it has no disc that can be read (now).
pub fn drive_is_empty(drive: &File) -> bool {
    // SAFETY: CDROM_DRIVE_STATUS takes a number and no memory.
    let status = unsafe { cdrom_drive_status(drive.as_raw_fd(), CDSL_CURRENT) };
    // A drive that cannot tell is tried.
    matches!(status, Ok(CDS_NO_DISC | CDS_TRAY_OPEN | CDS_DRIVE_NOT_READY))
}

/// Number of a loop device that is free.
pub fn free_loop(control: &File) -> io::Result<u32> {
    // SAFETY: LOOP_CTL_GET_FREE takes no argument.
    let number = unsafe { loop_get_free(control.as_raw_fd()) }?;
    u32::try_from(number).map_err(io::Error::other)
}

/// Binds `length` bytes of `backing` from `offset` to a loop device, read-only.
pub fn configure_loop(device: &File, backing: &File, offset: u64, length: u64, direct: bool) -> io::Result<()> {
    let descriptor = u32::try_from(backing.as_raw_fd()).map_err(io::Error::other)?;
    let direct = if direct { LO_FLAGS_DIRECT_IO } else { 0 };
    let config = LoopConfig {
        descriptor,
        block_size: 0,
        device: 0,
        inode: 0,
        rdevice: 0,
        offset,
        size_limit: length,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR | direct,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
        reserved: [0; 8],
    };
    // SAFETY: LOOP_CONFIGURE reads one struct loop_config, whose size is asserted above.
    unsafe { loop_configure(device.as_raw_fd(), &config) }?;
    Ok(())
}

fn request(name: &str, target: Option<&Target>) -> io::Result<Box<DmRequest>> {
    let copy = |to: &mut [u8], from: &str| {
        // One byte stays for the terminating zero.
        if from.len() >= to.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{from:?} is too long for device-mapper")));
        }
        to[..from.len()].copy_from_slice(from.as_bytes());
        Ok(())
    };
    let mut made = Box::new(DmRequest {
        header: DmIoctl {
            // Version 4.0.0 is the oldest with this layout; the kernel takes any minor up to its own.
            version: [4, 0, 0],
            data_size: size_of::<DmRequest>() as u32,
            data_start: DM_HEADER as u32,
            target_count: u32::from(target.is_some()),
            open_count: 0,
            flags: DM_READONLY_FLAG,
            event_number: 0,
            padding: 0,
            device: 0,
            name: [0; 128],
            uuid: [0; 129],
            tail: [0; 7],
        },
        sector_start: 0,
        length: target.map_or(0, |target| target.sectors),
        status: 0,
        next: 0,
        target_type: [0; 16],
        text: [0; DM_TEXT],
    });
    copy(&mut made.header.name, name)?;
    if let Some(target) = target {
        copy(&mut made.target_type, target.kind)?;
        copy(&mut made.text, &target.parameters)?;
    }
    Ok(made)
}

/// Makes the read-only device-mapper device `name` and returns its minor number.
/// What exists half made when a step fails is removed.
pub fn create_mapped(control: &File, name: &str, target: &Target) -> io::Result<u64> {
    let descriptor = control.as_raw_fd();
    let mut create = request(name, None)?;
    // SAFETY: `header` begins a DmRequest of `data_size` bytes; the kernel stays within it.
    unsafe { dm_device_create(descriptor, (&raw mut *create).cast()) }?;
    let device = create.header.device;
    let mut load = request(name, Some(target))?;
    let mut resume = request(name, None)?;
    // SAFETY: as above. Suspend without the suspend flag resumes, which makes the table live.
    let made = unsafe {
        dm_table_load(descriptor, (&raw mut *load).cast())
            .and_then(|_| dm_device_suspend(descriptor, (&raw mut *resume).cast()))
    };
    if let Err(error) = made {
        let _ = remove_mapped(control, name);
        return Err(error.into());
    }
    Ok(libc::minor(device).into())
}

/// Removes a device-mapper device.
pub fn remove_mapped(control: &File, name: &str) -> io::Result<()> {
    let mut remove = request(name, None)?;
    // SAFETY: as in create_mapped.
    unsafe { dm_device_remove(control.as_raw_fd(), (&raw mut *remove).cast()) }?;
    Ok(())
}

/// The status line of the one target of `name`: for verity `V` (good so far) or `C` (corruption was met).
pub fn mapped_status(control: &File, name: &str) -> io::Result<String> {
    let mut status = request(name, None)?;
    // SAFETY: as in create_mapped.
    unsafe { dm_table_status(control.as_raw_fd(), (&raw mut *status).cast()) }?;
    let text: Vec<u8> = status.text.iter().copied().take_while(|&byte| byte != 0).collect();
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A netlink socket that hears multicast groups of a protocol, linux/netlink.h. Each read gives a message; none waits.
pub fn netlink(protocol: libc::c_int, groups: u32) -> io::Result<File> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket takes numbers and no memory.
    let descriptor = Errno::result(unsafe { libc::socket(libc::AF_NETLINK, kind, protocol) })?;
    // SAFETY: the descriptor is new, and nobody else's.
    let socket = unsafe { File::from_raw_fd(descriptor) };
    // SAFETY: all of sockaddr_nl are numbers, and 0 is one.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = groups;
    let length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: bind reads `length` bytes of the address.
    Errno::result(unsafe { libc::bind(descriptor, (&raw const address).cast(), length) })?;
    Ok(socket)
}

/// A program to start.
#[derive(Debug, Clone)]
pub struct Program {
    /// As seen from within `root`.
    pub path: PathBuf,
    /// The module's name.
    pub name: String,
    /// What follows the module's name.
    pub arguments: Vec<String>,
    /// The program's root directory, where it is not the caller's.
    pub root: Option<PathBuf>,
}

/// Starts a program in a session of its own on `terminal`, so that Ctrl-C and
/// job control work in it.
pub fn start(program: &Program, terminal: &File) -> io::Result<Child> {
    let mut command = command(program, true);
    command.stdin(Stdio::from(terminal.try_clone()?));
    command.stdout(Stdio::from(terminal.try_clone()?));
    command.stderr(Stdio::from(terminal.try_clone()?));
    command.spawn()
}

/// Runs a program to its end, with nothing to read, and gives what it printed.
pub fn run(program: &Program) -> io::Result<Output> {
    command(program, false).stdin(Stdio::null()).output()
}

/// Lets the program start with no signal blocked. The standard library hands our
/// own mask on, and one that never hears of its children's end waits for ever.
pub fn unblock_signals(command: &mut Command) {
    // SAFETY: between fork and exec only one system call is made, which sets the mask.
    unsafe {
        command.pre_exec(|| Ok(nix::sys::signal::SigSet::empty().thread_set_mask()?));
    }
}

fn command(program: &Program, on_terminal: bool) -> Command {
    let mut command = Command::new(&program.path);
    command.arg0(OsStr::new(&program.name)).args(&program.arguments).env_clear();
    command.envs([
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("TERM", "linux"),
        ("PS1", "appliance: shell # "),
    ]);
    let root = program.root.clone();
    // SAFETY: between fork and exec only system calls are made: setsid, an ioctl, chroot and chdir
    // on a path that was allocated before; the agent has one thread.
    unsafe {
        command.pre_exec(move || {
            if on_terminal {
                nix::unistd::setsid()?;
                // 1 takes the terminal from a session that still holds it; root may.
                libc::ioctl(0, libc::TIOCSCTTY, 1);
            }
            if let Some(root) = &root {
                nix::unistd::chroot(root)?;
                nix::unistd::chdir(Path::new("/"))?;
            }
            Ok(())
        });
    }
    command
}
