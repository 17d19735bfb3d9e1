//! The interface through which long work reports progress, independent of how progress is shown.

/// The stages of a build, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Package indices are fetched and versions are selected.
    Resolve,
    /// Package files are fetched.
    Download,
    /// Package files are unpacked into the root.
    Unpack,
    /// Maintainer scripts run.
    Configure,
    /// The root file system image is written.
    Pack,
    /// The other files of the output are written.
    LayOut,
    /// The written files are synced to disk.
    Sync,
    /// Packages are copied to a directory (`applbuild archive export`; not a stage of a build).
    Export,
}

impl Stage {
    /// The name shown to people and in `--json` events.
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

/// The unit of a stage's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Octets.
    Bytes,
    /// Binary packages.
    Packages,
    /// Regular files.
    Files,
}

/// Receives the progress of long work. All methods may be called from any thread.
pub trait Progress: Send + Sync {
    /// The following stages belong to this image. The images of a host's guests are built in the same run.
    fn image(&self, _name: &str) {}
    /// A stage begins; the previous one has ended. `total` is 0 if it is not known.
    fn stage(&self, stage: Stage, total: u64, unit: Unit);
    /// `count` more units of the current stage are done.
    fn advance(&self, count: u64);
    /// The current item of the stage: a package, a file.
    fn item(&self, name: &str);
    /// A warning: something the user should know that does not stop the build.
    fn warn(&self, message: &str);
    /// A line of verbose output: a line of a maintainer script, a fetched file.
    fn detail(&self, _line: &str) {}
    /// `what` was made by an earlier build and is reused.
    fn reused(&self, _what: &str) {}
}

/// Reports nothing: for tests and for callers that show no progress.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: Stage, _: u64, _: Unit) {}
    fn advance(&self, _: u64) {}
    fn item(&self, _: &str) {}
    fn warn(&self, _: &str) {}
}
