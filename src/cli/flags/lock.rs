//! The choice of the lock that a build takes.

use crate::cli::flags::common::Common;
use applbuild::pipeline::{LockChoice, Update};
use applbuild::profile::Profile;
use std::path::PathBuf;

/// Flags that choose the lock of a build.
#[derive(Debug, clap::Args)]
pub struct WhichLock {
    /// Build from this lock, and change no lock [default: profiles/NAME.lock, which is created if missing and updated if
    /// the profile has changed]
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Fail if profiles/NAME.lock is missing or out of date
    #[arg(long, conflicts_with = "lock")]
    locked: bool,
}

impl WhichLock {
    pub fn choose(self, common: &Common, profile: &Profile) -> LockChoice {
        let own = own(common, profile);
        match self.lock {
            Some(path) => LockChoice::Exactly(path),
            None if self.locked => LockChoice::Exactly(own),
            None => LockChoice::Own { path: own, update: Update::Needed },
        }
    }
}

/// The profile's own lock, `profiles/NAME.lock`.
pub fn own(common: &Common, profile: &Profile) -> PathBuf {
    common.root.join("profiles").join(format!("{}.lock", profile.name))
}
