//! The unit of systemd that runs a guest: its name, and what its main process
//! tells systemd by its exit status.

use crate::formats::unit_file;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The exit status of a refusal that trying again does not mend: EX_CONFIG of
/// sysexits.h, and the RestartPreventExitStatus of appliance-guest@.service.
pub const REFUSED: u8 = 78;

/// The unit's name of the guest of a folder.
pub fn name(folder: &OsStr) -> String {
    format!("appliance-guest@{}.service", unit_file::instance(folder.as_bytes()))
}
