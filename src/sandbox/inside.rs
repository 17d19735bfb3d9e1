//! The processes inside a sandbox: the one that makes the namespaces, and PID 1 in them.

use super::command::{Command, Exit};
use super::mounts;
use super::no_sync;
use super::protocol::{self, Report};
use crate::util::self_exe;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::{Pid, close, setgroups, sethostname, setsid};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{self, ExitCode, Stdio};
use std::thread;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes the namespaces. A PID namespace begins with the next child, so this
/// process starts one and waits.
pub fn spawn() -> ExitCode {
    report(|_| {
        // The kernel sends it when the build ends, however it does.
        set_pdeathsig(Signal::SIGKILL).map_err(told("asking to die with the build"))?;
        unshare(
            CloneFlags::CLONE_NEWNS
                | CloneFlags::CLONE_NEWPID
                | CloneFlags::CLONE_NEWNET
                | CloneFlags::CLONE_NEWUTS
                | CloneFlags::CLONE_NEWIPC
                | CloneFlags::CLONE_NEWCGROUP,
        )
        .map_err(told("making namespaces"))?;
        // Standard input, the socket, goes on to the child.
        let status = self_exe::command().arg0(protocol::INIT).status().map_err(told("re-executing /proc/self/exe"))?;
        if status.success() { Ok(None) } else { Err(format!("its first process ended by {status}")) }
    })
}

/// PID 1: when it ends, the kernel ends all else in the namespace.
pub fn init() -> ExitCode {
    report(|control| {
        set_pdeathsig(Signal::SIGKILL).map_err(told("asking to die with the build"))?;
        protocol::send(control, &Report::Ready).map_err(told("answering the build"))?;
        // No command: the build died before the line above.
        let Some(command) = protocol::receive(control).map_err(told("hearing from the build"))? else {
            return Ok(None);
        };
        execute(&command).map(|exit| Some(Report::Ended(exit)))
    })
}

fn execute(command: &Command) -> Result<Exit, String> {
    // Before the machine's /proc is gone.
    let attached = command.attached.map(attached).transpose()?;
    mounts::enter(command)?;
    sethostname("localhost").map_err(told("setting the host name"))?;
    setgroups(&[]).map_err(told("dropping supplementary groups"))?;
    if attached.is_none() {
        // Away from the terminal, so that nothing inside can ask or be asked.
        setsid().map_err(told("leaving the terminal"))?;
    }
    umask(Mode::from_bits_truncate(0o022));
    no_sync::apply()?;
    let program = command.program.to_string_lossy();
    let mut child = process::Command::new(&command.program)
        .args(&command.arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", "/root")
        .env("SOURCE_DATE_EPOCH", command.source_date_epoch.to_string())
        .envs(command.environment.iter().map(|(name, value)| (name, value)))
        .stdin(attached.map_or_else(Stdio::piped, Stdio::from))
        .spawn()
        .map_err(|error| format!("starting {program}: {error}"))?;
    // Fits: the kernel's own numbers are at most 2^22 (proc_sys_kernel(5), pid_max).
    let pid = Pid::from_raw(child.id() as i32);
    let bytes = command.stdin.clone();
    if let Some(mut stdin) = child.stdin.take() {
        // A program may end without reading what it is given.
        thread::spawn(move || stdin.write_all(&bytes));
    }
    loop {
        match wait() {
            Ok(WaitStatus::Exited(which, code)) if which == pid => return Ok(Exit::Code(code)),
            Ok(WaitStatus::Signaled(which, signal, _)) if which == pid => return Ok(Exit::Signal(signal as i32)),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(format!("waiting for {program}: {errno}")),
        }
    }
}

/// Opens the descriptor that [`super::run_attached`] left open, which goes no further.
fn attached(descriptor: i32) -> Result<File, String> {
    let path = format!("/proc/self/fd/{descriptor}");
    let opening = told("opening standard input");
    let mut file = File::open(&path).map_err(&opening)?;
    if file.is_terminal() {
        // Some programs write to the terminal that they read. A pipe that is open for writing would never end.
        file = File::options().read(true).write(true).open(&path).map_err(&opening)?;
    }
    close(descriptor).map_err(told("closing a descriptor"))?;
    Ok(file)
}

/// Runs `work` with the socket to the build, and tells the build how it went.
fn report(work: impl FnOnce(&UnixStream) -> Result<Option<Report>, String>) -> ExitCode {
    let Ok(control) = control() else { return ExitCode::FAILURE };
    let message = match work(&control) {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(report)) => report,
        Err(message) => Report::Failed(message),
    };
    match protocol::send(&control, &message) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn control() -> io::Result<UnixStream> {
    let socket: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    Ok(UnixStream::from(socket))
}

fn told<E: std::fmt::Display>(attempt: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{attempt}: {error}")
}
