//! The systemd unit that runs a guest: its name, and the exit statuses of its main
//! process.

use crate::formats::unit_file;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The exit status of a refusal that a retry does not fix: EX_CONFIG of sysexits.h,
/// and the RestartPreventExitStatus of appliance-guest@.service.
pub const REFUSED: u8 = 78;

/// The unit's name of the guest in directory `folder`.
pub fn name(folder: &OsStr) -> String {
    format!("appliance-guest@{}.service", unit_file::instance(folder.as_bytes()))
}
