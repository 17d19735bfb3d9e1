//! A seccomp filter that turns fsync and similar calls in the sandbox into no-ops. The build reads the written files
//! back at once, and a build that a power loss ends is not resumed. Without the filter, dpkg waits for the disk several
//! times per package.

use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

const CALLS: [libc::c_long; 5] =
    [libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync, libc::SYS_syncfs, libc::SYS_sync_file_range];

/// Installs a seccomp filter that turns sync calls of this process and its descendants into successful no-ops.
pub fn apply() -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("disabling syncs: {error}");
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| failed(&error))?;
    let rules = CALLS.into_iter().map(|call| (call, Vec::new())).collect();
    // "Error" 0 is success (seccomp(2), SECCOMP_RET_ERRNO).
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(0), architecture)
        .map_err(|error| failed(&error))?;
    let program = BpfProgram::try_from(filter).map_err(|error| failed(&error))?;
    seccompiler::apply_filter(&program).map_err(|error| failed(&error))
}
