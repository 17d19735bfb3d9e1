//! A seccomp filter that makes fsync and its kin do nothing in the sandbox. What a program writes there is read back by
//! the build at once, and a build that is ended by a power loss starts again from nothing. Without the filter, dpkg
//! waits for the disk several times a package.

use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

const CALLS: [libc::c_long; 5] =
    [libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync, libc::SYS_syncfs, libc::SYS_sync_file_range];

/// Makes the calls of this process, and of all that it starts, succeed unheard.
pub fn apply() -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("making syncs do nothing: {error}");
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| failed(&error))?;
    let rules = CALLS.into_iter().map(|call| (call, Vec::new())).collect();
    // "Error" 0 is success (seccomp(2), SECCOMP_RET_ERRNO).
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(0), architecture)
        .map_err(|error| failed(&error))?;
    let program = BpfProgram::try_from(filter).map_err(|error| failed(&error))?;
    seccompiler::apply_filter(&program).map_err(|error| failed(&error))
}
