//! What the node's command sees of the machine: its file tree, its device mapper,
//! its programs, its clock. Tests pass made-up ones.

use super::programs::Programs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The running node. A value of this type is passed to whatever looks at the node or changes it.
pub struct World<'a> {
    /// `/` on a node.
    pub root: &'a Path,
    /// The status line of a device-mapper device, by its name.
    pub mapped_status: &'a dyn Fn(&str) -> io::Result<String>,
    /// Other programs.
    pub programs: &'a dyn Programs,
    /// The time of day.
    pub clock: &'a dyn Fn() -> SystemTime,
}

impl std::fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("root", &self.root).finish_non_exhaustive()
    }
}

impl World<'_> {
    /// An absolute path of the node.
    pub fn at(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        self.root.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// Seconds since 1970.
    pub fn now(&self) -> u64 {
        (self.clock)().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
    }

    /// A one-line file below `/sys` or `/proc`.
    pub fn line(&self, absolute: impl AsRef<Path>) -> Option<String> {
        let text = std::fs::read_to_string(self.at(absolute)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }
}
