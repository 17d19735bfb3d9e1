//! The real machine: what [`Machine`] asks, done by the Linux kernel.

use super::machine::{BUILT_IN_SHELL, Ended, Machine, Mount, MountFlags, Places, ProcessId, Shell};
use super::sys::{self, Program, Target};
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::reboot::RebootMode;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The kernel that this program runs on.
#[derive(Debug)]
pub struct Linux {
    places: Places,
    /// A loop device is released by itself once nobody holds it; between its
    /// making and its mount the agent does.
    held: RefCell<BTreeMap<PathBuf, File>>,
}

impl Linux {
    /// The machine with its file systems at `places`.
    pub fn new(places: Places) -> Self {
        Self { places, held: RefCell::default() }
    }

    fn mapper(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.places.dev.join("mapper/control"))
    }

    /// Opens a device without starting its motor or waiting for a medium.
    fn open_device(path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
    }
}

fn flags(asked: MountFlags) -> MsFlags {
    let mut flags = MsFlags::empty();
    flags.set(MsFlags::MS_RDONLY, asked.read_only);
    flags.set(MsFlags::MS_NOSUID, asked.no_suid);
    flags.set(MsFlags::MS_NODEV, asked.no_dev);
    flags.set(MsFlags::MS_NOEXEC, asked.no_exec);
    flags.set(MsFlags::MS_NOATIME, asked.no_atime);
    flags
}

const NONE: Option<&str> = None;

impl Machine for Linux {
    fn uptime(&self) -> Duration {
        let text = fs::read_to_string(self.places.proc.join("uptime")).unwrap_or_default();
        let seconds = text.split(' ').next().and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn mount(&self, asked: &Mount<'_>) -> io::Result<()> {
        let options = (!asked.options.is_empty()).then_some(asked.options);
        Ok(mount(Some(asked.source), asked.target, Some(asked.kind), flags(asked.flags), options)?)
    }

    fn bind(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(mount(Some(from), to, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)?)
    }

    fn move_mount(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(mount(Some(from), to, NONE, MsFlags::MS_MOVE, NONE)?)
    }

    fn unmount(&self, target: &Path) -> io::Result<()> {
        Ok(umount2(target, MntFlags::empty()).or_else(|_| umount2(target, MntFlags::MNT_DETACH))?)
    }

    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        std::os::unix::fs::lchown(path, Some(uid), Some(gid))
    }

    fn is_read_only(&self, device: &Path) -> io::Result<bool> {
        sys::is_read_only(&Self::open_device(device)?)
    }

    fn set_read_only(&self, device: &Path, on: bool) -> io::Result<()> {
        sys::set_read_only(&Self::open_device(device)?, on)
    }

    fn load_module(&self, file: &Path) -> io::Result<()> {
        let flags = nix::kmod::ModuleInitFlags::empty();
        match nix::kmod::finit_module(File::open(file)?, c"", flags) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn attach_loop(&self, backing: &Path, offset: u64, length: u64) -> io::Result<PathBuf> {
        let control = File::open(self.places.dev.join("loop-control"))?;
        let backing = File::open(backing)?;
        let number = sys::free_loop(&control)?;
        let path = self.places.dev.join(format!("loop{number}"));
        let device = File::open(&path)?;
        // Direct I/O spares a second copy of every page; not every device below can do it at this offset.
        sys::configure_loop(&device, &backing, offset, length, true)
            .or_else(|_| sys::configure_loop(&device, &backing, offset, length, false))?;
        self.held.borrow_mut().insert(path.clone(), device);
        Ok(path)
    }

    fn release_loop(&self, device: &Path) {
        self.held.borrow_mut().remove(device);
    }

    fn create_mapped(&self, name: &str, target: &Target) -> io::Result<PathBuf> {
        let minor = sys::create_mapped(&self.mapper()?, name, target)?;
        Ok(self.places.dev.join(format!("dm-{minor}")))
    }

    fn remove_mapped(&self, name: &str) -> io::Result<()> {
        sys::remove_mapped(&self.mapper()?, name)
    }

    fn mapped_status(&self, name: &str) -> io::Result<String> {
        sys::mapped_status(&self.mapper()?, name)
    }

    fn kernel_log(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let path = self.places.dev.join("kmsg");
        let Ok(mut log) = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path) else {
            return lines;
        };
        // A read gives one record; EPIPE says that records were overwritten meanwhile.
        let mut record = [0; 8192];
        loop {
            match log.read(&mut record) {
                Ok(0) => break,
                Ok(length) => {
                    let text = String::from_utf8_lossy(&record[..length]);
                    let message = text.split_once(';').map_or("", |(_, message)| message);
                    lines.push(message.lines().next().unwrap_or_default().to_owned());
                }
                Err(error) if error.raw_os_error() == Some(nix::libc::EPIPE) => {}
                Err(_) => break,
            }
        }
        lines
    }

    fn start_shell(&self, shell: Shell, terminal: &str) -> io::Result<ProcessId> {
        // Opening a serial line without carrier must not block; using it may.
        let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
        let path = self.places.dev.join(terminal);
        let open = OpenOptions::new().read(true).write(true).custom_flags(flags.bits()).open(path)?;
        // A serial port that the kernel names and the machine lacks opens, and then every read and write is EIO, even
        // of nothing (drivers/tty/tty_io.c, tty_io_error): a shell there would end at once, as if it had been left.
        nix::unistd::write(&open, &[])?;
        nix::fcntl::fcntl(&open, nix::fcntl::FcntlArg::F_SETFL(OFlag::empty()))?;
        let program = match shell {
            Shell::Image => Program {
                path: "/bin/sh".into(),
                name: "sh".into(),
                arguments: Vec::new(),
                root: Some(self.places.sysroot.clone()),
            },
            Shell::BuiltIn => Program {
                path: "/proc/self/exe".into(),
                name: BUILT_IN_SHELL.into(),
                arguments: Vec::new(),
                root: None,
            },
        };
        let child = sys::start(&program, &open)?;
        i32::try_from(child.id()).map_err(io::Error::other)
    }

    fn reap(&self) -> Vec<Ended> {
        let mut ended = Vec::new();
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, status)) => ended.push(Ended { process: pid.as_raw(), clean: status == 0 }),
                Ok(WaitStatus::Signaled(pid, ..)) => ended.push(Ended { process: pid.as_raw(), clean: false }),
                _ => return ended,
            }
        }
    }

    fn end(&self, process: ProcessId) {
        // The shell leads its session and group; an interactive shell ignores SIGTERM, not SIGHUP.
        let _ = kill(Pid::from_raw(-process), Signal::SIGHUP);
        let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        let _ = waitpid(Pid::from_raw(process), None);
    }

    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<(i32, String)> {
        let program = Program {
            path: program.into(),
            name: program.to_owned(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            root: Some(self.places.sysroot.clone()),
        };
        let output = sys::run(&program)?;
        let text = [output.stdout, output.stderr].concat();
        // A program that a signal ended has no status of its own; shells say 128 and the signal likewise.
        Ok((output.status.code().unwrap_or(128), String::from_utf8_lossy(&text).into_owned()))
    }

    fn wait_for_enter(&self, terminals: &[String]) {
        let open = |name: &String| {
            let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
            OpenOptions::new().read(true).custom_flags(flags.bits()).open(self.places.dev.join(name)).ok()
        };
        let mut inputs: Vec<File> = terminals.iter().filter_map(open).collect();
        let mut byte = [0];
        while !inputs.iter_mut().any(|input| matches!(input.read(&mut byte), Ok(1..))) {
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn sync(&self) {
        nix::unistd::sync();
    }

    fn reboot(&self) -> io::Error {
        end(RebootMode::RB_AUTOBOOT)
    }

    fn power_off(&self) -> io::Error {
        end(RebootMode::RB_POWER_OFF)
    }
}

fn end(mode: RebootMode) -> io::Error {
    nix::unistd::sync();
    match nix::sys::reboot::reboot(mode) {
        Err(error) => error.into(),
    }
}

/// Makes `/dev/console` standard input, output and error, whatever the kernel opened.
pub fn use_console(places: &Places) {
    if let Ok(console) = OpenOptions::new().read(true).write(true).open(places.dev.join("console")) {
        // Each may fail only for want of file descriptors; the agent prints by files of its own.
        let _ = nix::unistd::dup2_stdin(&console);
        let _ = nix::unistd::dup2_stdout(&console);
        let _ = nix::unistd::dup2_stderr(&console);
    }
}

/// Makes `root` the root of everything and becomes `program` in it, as
/// switch_root(8) does. Returns only when that fails.
pub fn switch_root(root: &Path, program: &str) -> io::Error {
    let switch = || -> nix::Result<()> {
        nix::unistd::chdir(root)?;
        mount(Some("."), "/", NONE, MsFlags::MS_MOVE, NONE)?;
        nix::unistd::chroot(".")?;
        nix::unistd::chdir("/")
    };
    if let Err(error) = switch() {
        return error.into();
    }
    // exec of the standard library gives systemd the default signal handling back.
    std::process::Command::new(program).args(std::env::args_os().skip(1)).exec()
}
