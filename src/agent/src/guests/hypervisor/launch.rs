//! Starts what a [`Plan`] says, under Xen or KVM.

use super::kvm::{self, Monitor, Network};
use super::qemu_arguments::{self, ControlCharacter, Qemu};
use super::templates::{self, TemplateError};
use super::vm::{Kind, Vm, last_words, start};
use super::xen;
use super::xl_config::{self, Type};
use crate::guests::plan::Plan;
use crate::guests::run_directory::place;
use crate::system::nonblocking::set_nonblocking;
use crate::system::programs::Start;
use crate::system::world::World;
use appliance_contract::guest::{Accel, Machine};
use nix::sys::termios;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// How long xl may take to make a domain, or QEMU to open its sockets.
const PATIENCE: Duration = Duration::from_secs(300);
/// Each look runs xl, which takes of the processor that xl builds the domain with.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a guest could not be started.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum LaunchError {
    #[error("{doing}: {error}")]
    Io { doing: String, error: io::Error },
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Argument(#[from] ControlCharacter),
    #[error("{program} ended before the guest ran ({status}): {said}")]
    Ended { program: &'static str, status: String, said: String },
    #[error("{program} has not started the guest within {} s; so far it said: {said}", PATIENCE.as_secs())]
    Late { program: &'static str, said: String },
}

impl LaunchError {
    /// Whether xl or QEMU was started and the guest was not.
    pub fn is_before_the_guest_ran(&self) -> bool {
        matches!(self, Self::Ended { .. } | Self::Late { .. })
    }
}

/// For `map_err`: what was being done.
pub fn io_error(doing: impl Into<String>) -> impl FnOnce(io::Error) -> LaunchError {
    let doing = doing.into();
    |error| LaunchError::Io { doing, error }
}

/// Waits for what `found` gives, for as long as the program lives.
fn await_start<T>(
    child: &mut Child,
    program: &'static str,
    mut found: impl FnMut() -> io::Result<Option<T>>,
) -> Result<T, LaunchError> {
    let begun = Instant::now();
    loop {
        if let Some(found) = found().map_err(io_error(format!("waiting for {program}")))? {
            return Ok(found);
        }
        if let Some(status) = child.try_wait().map_err(io_error(format!("waiting for {program}")))? {
            return Err(LaunchError::Ended { program, status: status.to_string(), said: last_words(child) });
        }
        if begun.elapsed() > PATIENCE {
            return Err(LaunchError::Late { program, said: last_words(child) });
        }
        std::thread::sleep(PAUSE);
    }
}

/// A program that does not get as far as it should is not left behind.
fn or_end<T>(mut child: Child, result: Result<T, LaunchError>) -> Result<(Child, T), LaunchError> {
    match result {
        Ok(made) => Ok((child, made)),
        Err(error) => {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

/// Starts a guest under Xen; `tell` gets a line for the journal.
pub fn xen(world: &World<'_>, plan: &Plan, tell: &mut dyn FnMut(&str)) -> Result<Vm, LaunchError> {
    let name = plan.name.as_str();
    if let Some(domain) = xen::domain(world, name).map_err(io_error("asking xl for the domain"))? {
        tell(&format!("domain {domain} of this name was left behind; it is destroyed"));
        xen::destroy(world, name).map_err(io_error("destroying the domain left behind"))?;
    }
    let capabilities = xen::virt_caps(world).map_err(io_error("asking what the machine can"))?;
    let values = xl_config::values(plan, Type::by_capabilities(&capabilities));
    let text = templates::render(world, xl_config::TEMPLATE, &values)?;
    let path = place(world, name, "xl.cfg");
    fs::write(&path, text).map_err(io_error(format!("writing {}", path.display())))?;
    let arguments = ["create".to_owned(), "-F".to_owned(), path.to_string_lossy().into_owned()];
    let asked = Start { program: "xl", arguments: &arguments, user: None };
    let mut child = start(world, &asked).map_err(io_error("starting xl"))?;
    let mut known = None;
    let made = await_start(&mut child, "xl", || {
        if known.is_none() {
            known = xen::domain(world, name)?;
        }
        let Some(domain) = known else { return Ok(None) };
        let terminal = xen::console(world, domain)?;
        Ok(terminal.map(|terminal| (domain, terminal)))
    });
    let made = made.and_then(|(domain, terminal)| {
        let console =
            open_terminal(&world.at(&terminal)).map_err(io_error(format!("opening the console {terminal}")))?;
        Ok((domain, console))
    });
    let (child, (domain, console)) = or_end(child, made).inspect_err(|_| {
        // The domain may be there already; the error tells more than this one would.
        let _ = xen::destroy(world, name);
    })?;
    Ok(Vm { child, console, kind: Kind::Xen { domain }, end: None, complaint: None })
}

/// Opens a domain's console as xenconsole(1) does.
fn open_terminal(path: &Path) -> io::Result<File> {
    let flags = nix::fcntl::OFlag::O_NOCTTY | nix::fcntl::OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags.bits()).open(path)?;
    let mut settings = termios::tcgetattr(&file)?;
    termios::cfmakeraw(&mut settings);
    termios::tcsetattr(&file, termios::SetArg::TCSANOW, &settings)?;
    Ok(file)
}

/// How a guest is to run under KVM.
#[derive(Debug, Clone, Copy)]
pub struct KvmOptions {
    /// The board.
    pub machine: Machine,
    /// KVM or emulation.
    pub accel: Accel,
    /// No other guest's, and nobody's who logs in.
    pub user: u32,
}

/// Starts a guest under KVM, and makes its network interfaces.
pub fn kvm(world: &World<'_>, plan: &Plan, options: KvmOptions) -> Result<(Vm, Network), LaunchError> {
    let name = plan.name.as_str();
    let folder = place(world, name, "vm");
    let group = kvm::group(world).unwrap_or(options.user);
    let prepare = || -> io::Result<()> {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        std::os::unix::fs::chown(&folder, Some(options.user), Some(group))
    };
    prepare().map_err(io_error(format!("making {}", folder.display())))?;
    let network = Network::make(world, &plan.cards, options.user).map_err(io_error("making the guest's interfaces"))?;
    match qemu(world, plan, options, &folder, group) {
        Ok(vm) => Ok((vm, network)),
        Err(error) => {
            network.remove(world);
            Err(error)
        }
    }
}

/// Starts QEMU, whose sockets are made in `folder`.
fn qemu(world: &World<'_>, plan: &Plan, options: KvmOptions, folder: &Path, group: u32) -> Result<Vm, LaunchError> {
    // QEMU has no right to open the host's devices: it inherits them open.
    let mut plan = plan.clone();
    let mut files = Vec::new();
    for disk in &mut plan.disks {
        let file = OpenOptions::new()
            .read(true)
            .write(!disk.read_only)
            .open(world.at(&disk.path))
            .map_err(io_error(format!("opening {}", disk.path.display())))?;
        inherit(&file).map_err(io_error("passing a disk on"))?;
        disk.path = format!("/dev/fdset/{}", file.as_raw_fd()).into();
        files.push(file);
    }
    let (console, monitor) = (folder.join("console"), folder.join("monitor"));
    let numbers: Vec<i32> = files.iter().map(AsRawFd::as_raw_fd).collect();
    let qemu =
        Qemu { machine: options.machine, accel: options.accel, console: &console, monitor: &monitor, files: &numbers };
    let values = qemu_arguments::values(&plan, &qemu)?;
    let text = templates::render(world, qemu_arguments::TEMPLATE, &values)?;
    let arguments = qemu_arguments::arguments(&text);
    let asked = Start { program: "qemu-system-x86_64", arguments: &arguments, user: Some((options.user, group)) };
    let mut child = start(world, &asked).map_err(io_error("starting qemu-system-x86_64"))?;
    drop(files);
    let made = await_start(&mut child, "QEMU", || connect(&console)).and_then(|console| {
        let monitor = await_start(&mut child, "QEMU", || connect(&monitor))?;
        let monitor = Monitor::new(monitor).map_err(io_error("speaking with QEMU's monitor"))?;
        set_nonblocking(&console).map_err(io_error("opening the console"))?;
        Ok((File::from(OwnedFd::from(console)), monitor))
    });
    let (child, (console, monitor)) = or_end(child, made)?;
    Ok(Vm { child, console, kind: Kind::Kvm { monitor }, end: None, complaint: None })
}

fn connect(path: &Path) -> io::Result<Option<UnixStream>> {
    match UnixStream::connect(path) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lets the next program that is started have the file open too.
fn inherit(file: &File) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    fcntl(file, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(())
}
