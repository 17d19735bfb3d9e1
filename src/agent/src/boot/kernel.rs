//! Step 1, kernel: mounts proc, sys, dev and run, and reads the kernel's arguments.

use super::BootError;
use super::failed;
use crate::system::machine::{Machine, Mount, MountFlags, Places};
use appliance_contract::kernel_args::{self, KernelArgs, KernelArgsError, OnMissing};
use std::fs;
use std::path::Path;

/// The command line, parsed; what the operator is offered is known even when the rest is wrong.
#[derive(Debug)]
pub struct Kernel {
    /// The `appliance.*` arguments.
    pub args: Result<KernelArgs, KernelArgsError>,
    /// What a failure leads to, known even where `args` is an error.
    pub on_missing: OnMissing,
}

impl Kernel {
    /// Parses `/proc/cmdline`.
    pub fn read(command_line: &str) -> Self {
        let args = KernelArgs::parse(command_line);
        // An argument that cannot be parsed must not open a shell that the profile turned off.
        let on_missing = match &args {
            Ok(args) => args.on_missing,
            Err(_) => {
                let choices = command_line.split_ascii_whitespace();
                match choices.filter_map(|word| word.strip_prefix(kernel_args::ON_MISSING)).next_back() {
                    None | Some("shell") => OnMissing::Shell,
                    Some("wait") => OnMissing::Wait,
                    Some(_) => OnMissing::Reboot,
                }
            }
        };
        Self { args, on_missing }
    }
}

/// Mounts proc, sys, dev and run.
pub fn mount_all(machine: &dyn Machine, places: &Places) -> Result<(), BootError> {
    let quiet = MountFlags { no_exec: true, ..MountFlags::DATA };
    let dev = MountFlags { no_suid: true, ..MountFlags::default() };
    let run = MountFlags::DATA;
    for (kind, target, flags, options) in [
        ("proc", &places.proc, quiet, ""),
        ("sysfs", &places.sys, quiet, ""),
        ("devtmpfs", &places.dev, dev, "mode=0755"),
        // As systemd would mount it (systemd 257, src/shared/mount-setup.c).
        ("tmpfs", &places.run, run, "mode=0755,size=20%,nr_inodes=800k"),
    ] {
        make(target)?;
        machine.mount(&Mount { source: kind, target, kind, flags, options }).map_err(failed("mounting", target))?;
    }
    for folder in [places.sysroot.clone(), places.config.clone(), places.ours()] {
        make(&folder)?;
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), BootError> {
    fs::create_dir_all(folder).map_err(failed("making the folder", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_argument_never_opens_a_shell_that_was_turned_off() {
        for (line, expected) in [
            ("appliance.root=dev:vda appliance.roothash=none appliance.on-missing=wait", OnMissing::Wait),
            ("appliance.root=nonsense appliance.on-missing=reboot", OnMissing::Reboot),
            ("appliance.root=nonsense appliance.on-missing=wait", OnMissing::Wait),
            ("appliance.root=nonsense appliance.on-missing=shel", OnMissing::Reboot),
            ("appliance.root=nonsense", OnMissing::Shell),
        ] {
            assert_eq!(Kernel::read(line).on_missing, expected, "{line}");
        }
    }
}
