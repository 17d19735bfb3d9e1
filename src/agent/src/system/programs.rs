//! The one place from which the guests' part runs other programs.

use std::io;
use std::process::{Child, Command, Stdio};

/// What a program printed and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// 128 for one that a signal ended.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Whether the program succeeded.
    pub fn is_well(&self) -> bool {
        self.status == 0
    }

    /// What it said of its failure, in one line.
    pub fn complaint(&self) -> String {
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if said.is_empty() { format!("exit status {}", self.status) } else { said.join("; ") }
    }
}

/// A program that goes on running beside us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Start<'a> {
    /// Name or path.
    pub program: &'a str,
    /// Arguments, without the program's name.
    pub arguments: &'a [String],
    /// User and group to run as; ours when not given.
    pub user: Option<(u32, u32)>,
}

/// Runs other programs.
pub trait Programs {
    /// Runs a program to its end, with nothing to read.
    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<Output>;
    /// Starts a program whose output and errors can be read.
    fn start(&self, start: &Start<'_>) -> io::Result<Child>;
}

/// The programs of the machine.
#[derive(Debug, Clone, Copy)]
pub struct Real;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Programs for Real {
    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<Output> {
        let output = command(program).args(arguments).stdin(Stdio::null()).output()?;
        Ok(Output {
            status: output.status.code().unwrap_or(128),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn start(&self, start: &Start<'_>) -> io::Result<Child> {
        use std::os::unix::process::CommandExt;
        let mut command = command(start.program);
        command.args(start.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some((user, group)) = start.user {
            command.uid(user).gid(group);
        }
        command.spawn()
    }
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    // Messages are read by us and shown to people: one language for both.
    command.env("PATH", PATH).env("LC_ALL", "C").env_remove("NOTIFY_SOCKET");
    // We read signals from a descriptor; xl needs its own SIGCHLD for its scripts.
    super::sys::unblock_signals(&mut command);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{SigSet, Signal};

    #[test]
    fn programs_start_with_no_signal_blocked() {
        let mut set = SigSet::empty();
        set.add(Signal::SIGCHLD);
        set.add(Signal::SIGTERM);
        set.thread_block().unwrap();
        let output = Real.run("grep", &["SigBlk", "/proc/self/status"]).unwrap();
        set.thread_unblock().unwrap();
        assert_eq!(output.stdout, "SigBlk:\t0000000000000000\n");
    }
}
