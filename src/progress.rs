//! The interface through which long work reports progress, without knowing who listens.

#![warn(missing_docs)]

/// The stages of a build, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Indices are fetched, versions are chosen.
    Resolve,
    /// Package files are fetched.
    Download,
    /// Package files are unpacked into the root.
    Unpack,
    /// Maintainer scripts run.
    Configure,
    /// The root file system image is written.
    Pack,
    /// The output's files are written around it.
    LayOut,
    /// What is written is waited for until the disk has it.
    Sync,
    /// Of no build: packages into a folder.
    Export,
}

impl Stage {
    /// The name that a person reads, and that `--json` carries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Download => "download",
            Self::Unpack => "unpack",
            Self::Configure => "configure",
            Self::Pack => "pack",
            Self::LayOut => "lay out",
            Self::Sync => "sync",
            Self::Export => "export",
        }
    }
}

/// What the numbers of a stage count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Octets.
    Bytes,
    /// Binary packages.
    Packages,
    /// Regular files.
    Files,
}

/// Receives what long work has to say. All methods may be called from any thread.
pub trait Progress: Send + Sync {
    /// The stages that follow are of this image: those of a host's guests are made in the same run.
    fn image(&self, _name: &str) {}
    /// A stage begins; the one before it has ended. `total` is 0 when not known.
    fn stage(&self, stage: Stage, total: u64, unit: Unit);
    /// `count` more units of the running stage are done.
    fn advance(&self, count: u64);
    /// What the stage is at, in a few words: a package, a file.
    fn item(&self, name: &str);
    /// Something that the user should know and that stops nothing.
    fn warn(&self, message: &str);
    /// A line for those who want to see everything: what a maintainer script prints, a file that was fetched.
    fn detail(&self, _line: &str) {}
    /// `what` was made by an earlier build, and is not made again.
    fn reused(&self, _what: &str) {}
}

/// Says nothing: for tests and for callers that do not care.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: Stage, _: u64, _: Unit) {}
    fn advance(&self, _: u64) {}
    fn item(&self, _: &str) {}
    fn warn(&self, _: &str) {}
}
