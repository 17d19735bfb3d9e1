//! The inner layer, seen from the build.

use super::command::{Command, Exit, Output};
use super::error::SandboxError;
use super::outer;
use super::protocol::{self, Report};
use super::tail::Tail;
use crate::util::poison::Unpoisoned;
use crate::util::self_exe;
use nix::unistd::dup;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::thread;

const STDOUT_LIMIT: usize = 1 << 20;
const LOG_LIMIT: usize = 64 << 10;

/// Runs a program in new namespaces, with `command.root` as its `/` and nothing
/// else of the build machine but the binds: no network, a clean environment.
/// It and all that it started are gone when this returns or the build dies.
pub fn run(command: &Command) -> Result<Output, SandboxError> {
    run_with(command, &|_| {})
}

/// [`run`], with each piece of output handed to `listen` as it comes.
pub fn run_with(command: &Command, listen: &(dyn Fn(&[u8]) + Sync)) -> Result<Output, SandboxError> {
    let (mut child, control) = spawn(Stdio::piped)?;
    // Both were asked for above.
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let log = Mutex::new(Tail::new(LOG_LIMIT));
    let mut kept = Tail::new(STDOUT_LIMIT);
    let report = thread::scope(|scope| {
        let errors = scope.spawn(|| copy(stderr, &log, listen, None));
        let output = scope.spawn(|| copy(stdout, &log, listen, Some(&mut kept)));
        let report = converse(&control, command);
        if report.is_err() {
            let _ = child.kill();
        }
        // The readers end as the last process inside does.
        let _ = (errors.join(), output.join());
        report
    });
    let exit = ended(command, &mut child, report)?;
    let log = log.into_inner().unpoisoned().finish();
    Ok(Output { exit, stdout: kept.finish(), log })
}

/// [`run`] with the standard input and both outputs of this process: a shell on the terminal, for example. It stays in the
/// terminal's session, so that a shell in it has job control.
pub fn run_attached(command: &Command) -> Result<Exit, SandboxError> {
    // The helpers' own standard input is the socket. A descriptor that is open across exec goes through to the last.
    let stdin = dup(io::stdin()).map_err(|errno| failed("duplicating standard input")(errno.into()))?;
    let command = Command { attached: Some(stdin.as_raw_fd()), ..command.clone() };
    let (mut child, control) = spawn(Stdio::inherit)?;
    let report = converse(&control, &command);
    if report.is_err() {
        let _ = child.kill();
    }
    ended(&command, &mut child, report)
}

fn failed(attempt: &'static str) -> impl Fn(io::Error) -> SandboxError {
    move |source| SandboxError::Start { attempt, source }
}

/// Starts the process that makes the namespaces, with the socket that it listens to.
fn spawn(output: fn() -> Stdio) -> Result<(Child, UnixStream), SandboxError> {
    if !outer::entered() {
        return Err(SandboxError::NotEntered);
    }
    let (control, theirs) = UnixStream::pair().map_err(failed("making a socket"))?;
    let child = self_exe::command()
        .arg0(protocol::SPAWN)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(output())
        .stderr(output())
        .spawn()
        .map_err(failed("re-executing /proc/self/exe"))?;
    Ok((child, control))
}

/// How the program ended, by what the sandbox reported.
fn ended(command: &Command, child: &mut Child, report: io::Result<Option<Report>>) -> Result<Exit, SandboxError> {
    let status = child.wait().map_err(failed("waiting for the sandbox"))?;
    match report.map_err(failed("talking to the sandbox"))? {
        Some(Report::Ended(exit)) => Ok(exit),
        Some(Report::Failed(message)) => Err(SandboxError::SetUp { root: command.root.clone(), message }),
        Some(Report::Ready) | None => Err(SandboxError::Lost {
            program: command.program.to_string_lossy().into_owned(),
            root: command.root.clone(),
            exit: status.code().map_or_else(|| Exit::Signal(status.signal().unwrap_or(0)), Exit::Code),
        }),
    }
}

/// Hands the command over once PID 1 says that it dies with us, and waits.
fn converse(control: &UnixStream, command: &Command) -> io::Result<Option<Report>> {
    match protocol::receive(control)? {
        Some(Report::Ready) => {}
        other => return Ok(other),
    }
    protocol::send(control, command)?;
    protocol::receive(control)
}

fn copy(
    from: Option<impl Read>,
    log: &Mutex<Tail>,
    listen: &(dyn Fn(&[u8]) + Sync),
    mut also: Option<&mut Tail>,
) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut buffer = [0; 8192];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = &buffer[..count];
        if let Ok(mut log) = log.lock() {
            log.push(bytes);
        }
        if let Some(tail) = also.as_deref_mut() {
            tail.push(bytes);
        }
        listen(bytes);
    }
}
