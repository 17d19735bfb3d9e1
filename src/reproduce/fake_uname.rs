//! Another kernel, as far as a program asks for it: uname(2) says another release. There is one kernel on a machine, so
//! its answers are changed on their way, by ptrace(2), in all that a command starts.

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::uio::{RemoteIoVec, process_vm_writev};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::os::unix::process::ExitStatusExt;
use std::panic::resume_unwind;
use std::process::{Child, Command, ExitStatus};
use std::thread;

/// What it is called there. Newer than any, as programs refuse old ones.
const RELEASE: &[u8] = b"99.1.2-another\0";
/// The third field of `struct utsname`, of 65 bytes each (linux/utsname.h).
const RELEASE_AT: usize = 2 * 65;

/// Waits for [`run`], so that nothing is asked before somebody listens.
const WAIT: &str = r#"kill -STOP $$; exec "$0" "$@""#;

/// A command for [`run`].
pub fn command(program: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", WAIT, program]);
    command
}

/// Runs what [`command`] gave to its end where another kernel answers; with whether it did, which this kernel may not
/// allow.
pub fn run(command: &mut Command) -> io::Result<(ExitStatus, bool)> {
    // The filter and the tracing are this thread's.
    let traced =
        thread::scope(|scope| scope.spawn(|| traced(command)).join().unwrap_or_else(|panic| resume_unwind(panic)));
    if let Some(status) = traced? {
        return Ok((status, true));
    }
    let mut child = command.spawn()?;
    let pid = id(&child);
    let _ = waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
    kill(pid, Signal::SIGCONT)?;
    Ok((child.wait()?, false))
}

fn id(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// `None` where that is not allowed: then nothing was run.
fn traced(command: &mut Command) -> io::Result<Option<ExitStatus>> {
    if !cfg!(target_arch = "x86_64") || filter().is_none() {
        return Ok(None);
    }
    let child = id(&command.spawn()?);
    let options = Options::PTRACE_O_TRACESECCOMP
        | Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_EXITKILL;
    waitpid(child, Some(WaitPidFlag::WUNTRACED))?;
    if ptrace::seize(child, options).is_err() {
        kill(child, Signal::SIGKILL)?;
        waitpid(child, None)?;
        return Ok(None);
    }
    kill(child, Signal::SIGCONT)?;
    watch(child).map(Some)
}

/// Has uname(2) of all that this thread starts stop for who traces it.
fn filter() -> Option<()> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).ok()?;
    let rules = [(libc::SYS_uname, Vec::new())].into();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Trace(0), architecture).ok()?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter).ok()?).ok()
}

/// Until `child` ends.
fn watch(child: Pid) -> io::Result<ExitStatus> {
    // Where those who are inside uname(2) get their answer.
    let mut asked = HashMap::new();
    loop {
        let all_of_this_thread = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let status = match waitpid(Pid::from_raw(-1), Some(all_of_this_thread)) {
            Err(Errno::EINTR) => continue,
            status => status?,
        };
        // Who was killed meanwhile is not there any more to be told anything.
        let _ = match status {
            WaitStatus::Exited(pid, code) if pid == child => return Ok(ExitStatus::from_raw(code << 8)),
            WaitStatus::Signaled(pid, signal, _) if pid == child => return Ok(ExitStatus::from_raw(signal as i32)),
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_SECCOMP) => {
                asked.extend(answer_at(pid).map(|place| (pid, place)));
                ptrace::syscall(pid, None)
            }
            WaitStatus::PtraceSyscall(pid) => {
                if let Some(place) = asked.remove(&pid) {
                    let to = RemoteIoVec { base: place + RELEASE_AT, len: RELEASE.len() };
                    let _ = process_vm_writev(pid, &[IoSlice::new(RELEASE)], &[to]);
                }
                ptrace::cont(pid, None)
            }
            WaitStatus::PtraceEvent(pid, _, _) => ptrace::cont(pid, None),
            WaitStatus::Stopped(pid, signal) => ptrace::cont(pid, signal),
            _ => Ok(()),
        };
    }
}

/// The first argument of the system call that `pid` is about to make.
#[cfg(target_arch = "x86_64")]
fn answer_at(pid: Pid) -> Option<usize> {
    usize::try_from(ptrace::getregs(pid).ok()?.rdi).ok()
}

#[cfg(not(target_arch = "x86_64"))]
fn answer_at(_: Pid) -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn whatever_is_started_sees_another_release_and_nothing_else_changes() {
        let folder = tempfile::tempdir().unwrap();
        let here = || Command::new("uname").arg("-snmr").output().unwrap().stdout;
        let before = here();
        // By a child's child, and with a signal that somebody waits for.
        let script = "trap 'echo heard >> found' USR1; (uname -snmr > found) & wait; kill -USR1 $$; exit 7";
        let (status, other) = run(command("/bin/sh").args(["-c", script]).current_dir(folder.path())).unwrap();
        assert_eq!((status.code(), other), (Some(7), true), "tracing a child of one's own is allowed");
        let found = fs::read_to_string(folder.path().join("found")).unwrap();
        let before = String::from_utf8(before).unwrap();
        let mut expected: Vec<&str> = before.split_whitespace().collect();
        expected[2] = "99.1.2-another";
        expected.push("heard");
        assert_eq!(found.split_whitespace().collect::<Vec<_>>(), expected);
        // This process still sees its own.
        assert_eq!(here(), before.as_bytes());
    }

    #[test]
    fn ends_as_the_command_does() {
        for script in ["exit 0", "exit 3", "kill -TERM $$"] {
            let expected = Command::new("/bin/sh").args(["-c", script]).status().unwrap();
            assert_eq!(run(command("/bin/sh").args(["-c", script])).unwrap(), (expected, true), "{script}");
        }
        // As a shell says it.
        assert_eq!(run(&mut command("/nonexistent")).unwrap().0.code(), Some(127));
    }
}
