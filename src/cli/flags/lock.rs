//! The choice of the lock that a build takes.

use crate::cli::flags::common::Common;
use applbuild::pipeline::{LockChoice, Update};
use applbuild::profile::Profile;
use std::path::PathBuf;

/// Flags that choose the lock of a build.
#[derive(Debug, clap::Args)]
pub struct WhichLock {
    /// Build from exactly this lock, and change none [default: profiles/NAME.lock, which is made where it is missing
    /// and brought up to date where the profile has moved past it]
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Fail where profiles/NAME.lock would be made or changed
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
