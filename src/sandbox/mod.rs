//! User, mount, PID, network and UTS namespaces: the only place that runs other programs.

use std::ffi::OsString;
use std::path::PathBuf;

/// A program to run inside a folder that becomes its root.
#[derive(Debug, Clone)]
pub struct Command {
    /// The folder that becomes `/`.
    pub root: PathBuf,
    /// Path inside `root`, with its arguments.
    pub program: OsString,
    pub arguments: Vec<OsString>,
    /// The whole environment but for `PATH`, `LC_ALL=C.UTF-8`, `HOME` and `SOURCE_DATE_EPOCH`, which are always set.
    pub environment: Vec<(OsString, OsString)>,
    pub binds: Vec<Bind>,
    pub stdin: Vec<u8>,
}

/// A folder or file of the build machine, seen inside.
#[derive(Debug, Clone)]
pub struct Bind {
    pub host: PathBuf,
    /// Absolute path inside.
    pub at: PathBuf,
    pub writable: bool,
}
