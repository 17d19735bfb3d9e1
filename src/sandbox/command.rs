//! A program to run in the sandbox, and what comes of it.

use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// A program to run inside a folder that becomes its root.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Command {
    /// The folder that becomes `/`.
    pub root: PathBuf,
    /// Path inside `root`, or a name looked for in `PATH`, with its arguments.
    pub program: OsString,
    /// See `program`.
    pub arguments: Vec<OsString>,
    /// The whole environment but for `PATH`, `LC_ALL=C.UTF-8`, `HOME` and `SOURCE_DATE_EPOCH`, which are always set.
    pub environment: Vec<(OsString, OsString)>,
    /// Bind mounts, made in this order.
    pub binds: Vec<Bind>,
    /// What the program reads from standard input.
    pub stdin: Vec<u8>,
    /// The descriptor that becomes standard input in the place of `stdin`; set by [`super::run_attached`].
    pub(super) attached: Option<i32>,
    /// `SOURCE_DATE_EPOCH`, seconds since 1970.
    pub source_date_epoch: i64,
}

/// A folder or file of the build machine, seen inside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bind {
    /// The directory or file outside.
    pub host: PathBuf,
    /// Absolute path inside; made (a folder or an empty file) where it is missing.
    pub at: PathBuf,
    /// Whether the program may change it.
    pub writable: bool,
}

impl Command {
    /// A program without arguments, bind mounts and input, at time 0.
    pub fn new(root: impl Into<PathBuf>, program: impl Into<OsString>) -> Self {
        Self {
            root: root.into(),
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            binds: Vec::new(),
            stdin: Vec::new(),
            attached: None,
            source_date_epoch: 0,
        }
    }

    /// With one more argument.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// With more arguments.
    pub fn arguments<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// With one more environment variable.
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// With one more bind mount, see [`Bind`].
    pub fn bind(mut self, host: impl Into<PathBuf>, at: impl Into<PathBuf>, writable: bool) -> Self {
        self.binds.push(Bind { host: host.into(), at: at.into(), writable });
        self
    }

    /// With these bytes as standard input.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// With this `SOURCE_DATE_EPOCH`, in seconds since 1970.
    pub fn source_date_epoch(mut self, seconds: i64) -> Self {
        self.source_date_epoch = seconds;
        self
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// By itself, with this exit status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(number) => match nix::sys::signal::Signal::try_from(*number) {
                Ok(signal) => write!(f, "signal {signal}"),
                Err(_) => write!(f, "signal {number}"),
            },
        }
    }
}

/// What a program left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// The end of its standard output, at most a mebibyte.
    pub stdout: Vec<u8>,
    /// The end of both its outputs as they came, at most 64 KiB.
    pub log: Vec<u8>,
}

impl Output {
    /// Whether it ended by itself with status 0.
    pub fn success(&self) -> bool {
        self.exit == Exit::Code(0)
    }

    /// The last `count` lines of both outputs.
    pub fn last_lines(&self, count: usize) -> String {
        let text = String::from_utf8_lossy(&self.log);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}
