//! The disk for `/var`: found, checked, mounted, and filled from the image where it is empty.

use super::blocks::{Block, Look, Survey, describe_contents};
use super::config::Config;
use super::fill::{self, FillError};
use super::lookout::Lookout;
use super::{Boot, devices, operator, volume};
use crate::system::fstab::{Entry, Source};
use crate::system::machine::{Mount, MountFlags};
use crate::system::time_span;
use appliance_contract::gpt_types;
use appliance_shared::probe::FileSystemKind;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// fstab's option for how long a device is waited for (systemd.mount(5)).
const TIMEOUT: &str = "x-systemd.device-timeout";

/// A disk that is mounted at `/var`.
#[derive(Debug)]
pub struct Disk {
    pub device: String,
    /// For the console.
    pub line: String,
}

/// Why a disk cannot be `/var`.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("/etc/fstab names {text}: {reason}; expected UUID=, LABEL=, PARTUUID=, PARTLABEL= or a disk below /dev")]
    Source { text: String, reason: &'static str },
    #[error("no device for {wanted} (from /etc/fstab) within {seconds} s")]
    Missing { wanted: String, seconds: u64 },
    #[error("{device} cannot be read: {reason}")]
    Unreadable { device: String, reason: String },
    #[error("{device} holds no file system, found: {found}")]
    NoFileSystem { device: String, found: String },
    #[error("{device} is {found}, but /etc/fstab says {expected}")]
    OtherKind { device: String, found: &'static str, expected: String },
    #[error("{device} is {found}, expected one of ext4, xfs, btrfs, f2fs, bcachefs, which keep owners and modes")]
    NoOwners { device: String, found: &'static str },
    #[error("{device} is in use: {holder}")]
    InUse { device: String, holder: String },
    #[error("{program} {device} ended with status {status}: {last}; repair it by hand")]
    Damaged { program: String, device: String, status: i32, last: String },
    #[error("{doing} {device}: {error}")]
    Step { doing: &'static str, device: String, error: io::Error },
    #[error("filling {device} from the image: {error}")]
    Fill { device: String, error: FillError },
}

/// Where the disk is mounted while the image's own `/var` is still needed.
pub fn beside(boot: &Boot<'_>) -> PathBuf {
    boot.places.ours().join("var-disk")
}

/// `None` when nothing asks for a disk.
pub fn open(boot: &mut Boot<'_>, config: &Config, wanted: Option<&Entry>) -> Result<Option<Disk>, Problem> {
    let (block, look) = match wanted {
        Some(entry) => wait_for(boot, config, entry)?,
        None => {
            let now = Survey::take(&boot.places);
            let found = find(&now, config, None).map(|(block, look)| (block.clone(), look.clone()));
            boot.seen = now.describe();
            match found {
                Some(found) => found,
                None => return Ok(None),
            }
        }
    };
    let device = format!("/dev/{}", block.name);
    let kind = kind(&device, &look, wanted)?;
    if let Some(holder) = block.in_use() {
        return Err(Problem::InUse { device, holder });
    }
    boot.load_named(volume::modules(kind));
    if wanted.is_none_or(|entry| entry.check) {
        check(boot, kind, &device)?;
    }
    let step = |doing| {
        let device = device.clone();
        move |error| Problem::Step { doing, device, error }
    };
    let (flags, options) = mount_options(wanted.map(|entry| entry.options.as_slice()).unwrap_or_default());
    let target = boot.places.sysroot.join("var");
    let beside = beside(boot);
    fs::create_dir_all(&beside).map_err(step("making a mount point for"))?;
    let source = block.node.to_string_lossy();
    let mount = Mount { source: &source, target: &beside, kind: kind.name(), flags, options: &options };
    boot.machine.mount(&mount).map_err(step("mounting"))?;
    let filled = fill::fill(&target, &beside).map_err(|error| Problem::Fill { device: device.clone(), error })?;
    boot.machine.sync();
    boot.machine.move_mount(&beside, &target).map_err(step("moving to /var"))?;
    // Only a mount point, and empty again.
    let _ = fs::remove_dir(&beside);
    let filled = filled.map(|count| format!(", filled from the image with {count} files")).unwrap_or_default();
    let line = format!("{device} ({kind}){filled}");
    Ok(Some(Disk { device, line }))
}

/// The device that a line of fstab names; without a line, the partition of the standard type on the config's disk.
pub fn find<'s>(now: &'s Survey, config: &Config, wanted: Option<&Entry>) -> Option<(&'s Block, &'s Look)> {
    now.iter().find(|(block, look)| match wanted {
        Some(entry) => matches(&entry.source, block, look),
        None => {
            block.partition.is_some()
                && block.disk() == config.block.disk()
                && look.partition_type.as_deref() == Some(gpt_types::VAR)
        }
    })
}

fn matches(source: &Source, block: &Block, look: &Look) -> bool {
    let same = |found: Option<&String>, wanted: &str| found.is_some_and(|found| found.eq_ignore_ascii_case(wanted));
    match source {
        Source::Uuid(uuid) => same(look.file_system().and_then(|found| found.uuid.as_ref()), uuid),
        Source::Label(label) => look.file_system().and_then(|found| found.label.as_ref()) == Some(label),
        Source::PartUuid(uuid) => same(look.partition_uuid.as_ref(), uuid),
        Source::PartLabel(label) => look.partition_label.as_ref() == Some(label),
        Source::Device(name) => block.name == *name,
        Source::Other(_) => false,
    }
}

/// What the agent cannot find, and why not.
fn refusal(source: &Source) -> Option<&'static str> {
    const ASSEMBLED: &str = "volumes and arrays are assembled by the running system, and this early there are none";
    match source {
        Source::Other(text) if text.starts_with("/dev/disk/") => {
            Some("udev makes that name, and this early it does not run")
        }
        Source::Other(_) => Some("that can be mounted by the running system alone"),
        Source::Device(name) if name.starts_with("mapper/") || name.starts_with("dm-") || name.starts_with("md") => {
            Some(ASSEMBLED)
        }
        _ => None,
    }
}

fn wait_for(boot: &mut Boot<'_>, config: &Config, entry: &Entry) -> Result<(Block, Look), Problem> {
    if let Some(reason) = refusal(&entry.source) {
        return Err(Problem::Source { text: entry.source.to_string(), reason });
    }
    let bound = bound(boot, entry);
    let begun = boot.machine.uptime();
    let mut lookout = Lookout::default();
    let mut said = false;
    loop {
        let due = lookout.is_due(boot);
        let late = boot.machine.uptime().saturating_sub(begun) >= bound;
        if due || late {
            let now = Survey::take(&boot.places);
            lookout.looked(boot);
            let found = find(&now, config, Some(entry)).map(|(block, look)| (block.clone(), look.clone()));
            boot.seen = now.describe();
            match found {
                // One that has not spun up may be readable at the next look.
                Some((block, look)) if late || look.contents.is_ok() => return Ok((block, look)),
                None if late => {
                    return Err(Problem::Missing { wanted: entry.source.to_string(), seconds: bound.as_secs() });
                }
                _ => {}
            }
        }
        if !said && boot.devices.settled(boot) {
            said = true;
            let most = if bound == Duration::MAX { String::new() } else { format!(", {} s at most", bound.as_secs()) };
            boot.console.say(format!("var: waiting for {}{most}", entry.source));
        }
        boot.machine.sleep(devices::INTERVAL);
    }
}

/// How long the device is waited for.
fn bound(boot: &mut Boot<'_>, entry: &Entry) -> Duration {
    let default = boot.args.timeout;
    let Some(text) = entry.value(TIMEOUT) else { return default };
    let refuse = |boot: &mut Boot<'_>, expected: &str| {
        let seconds = default.as_secs();
        boot.warn(format!("/var in /etc/fstab: found {TIMEOUT}={text}, expected {expected}; taking {seconds} s"));
        default
    };
    match time_span::parse(text) {
        // systemd takes 0 for no bound, too.
        Some(Duration::MAX | Duration::ZERO) if entry.no_fail() => refuse(boot, "a bound beside nofail"),
        Some(Duration::ZERO) => Duration::MAX,
        Some(span) => span,
        None => refuse(boot, "a span of time such as 90, 90s, 2min, 500ms or infinity"),
    }
}

/// The file system's kind, where fstab agrees and it can be a `/var`.
fn kind(device: &str, look: &Look, wanted: Option<&Entry>) -> Result<FileSystemKind, Problem> {
    use FileSystemKind::{Bcachefs, Btrfs, Ext4, F2fs, Xfs};
    let device = || device.to_owned();
    let kind = match &look.contents {
        Ok(contents) => look
            .file_system()
            .map(|found| found.kind)
            .ok_or_else(|| Problem::NoFileSystem { device: device(), found: describe_contents(contents) })?,
        Err(reason) => return Err(Problem::Unreadable { device: device(), reason: reason.clone() }),
    };
    // The ext4 driver mounts its predecessors; mount(8) takes several types, with commas between them.
    let fits = |name: &str| name == "auto" || name == kind.name() || (kind == Ext4 && matches!(name, "ext2" | "ext3"));
    if let Some(entry) = wanted
        && !entry.kind.split(',').any(fits)
    {
        return Err(Problem::OtherKind { device: device(), found: kind.name(), expected: entry.kind.clone() });
    }
    match kind {
        Ext4 | Xfs | Btrfs | F2fs | Bcachefs => Ok(kind),
        _ => Err(Problem::NoOwners { device: device(), found: kind.name() }),
    }
}

/// fsck(8): 1 is "errors corrected", 2 "reboot" (which concerns a mounted root), 4 and more mean damage.
fn check(boot: &Boot<'_>, kind: FileSystemKind, device: &str) -> Result<(), Problem> {
    let program = format!("/sbin/fsck.{kind}");
    if fs::symlink_metadata(boot.places.sysroot.join(program.trim_start_matches('/'))).is_err() {
        boot.console.say(format!("var: {device} is not checked, the image has no {program}"));
        return Ok(());
    }
    let bound = operator::bind(boot);
    let done = boot.machine.run(&program, &["-a", device]);
    for target in bound.iter().rev() {
        let _ = boot.machine.unmount(target);
    }
    match done {
        Ok((0, _)) => Ok(()),
        Ok((status @ 1..4, _)) => {
            boot.console.say(format!("var: {program} {device} corrected errors (status {status})"));
            Ok(())
        }
        Ok((status, output)) => {
            let last = output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it printed nothing").to_owned();
            Err(Problem::Damaged { program, device: device.to_owned(), status, last })
        }
        Err(error) => Err(Problem::Step { doing: "running fsck for", device: device.to_owned(), error }),
    }
}

/// mount(8)'s options as flags and what is left for the file system.
fn mount_options(options: &[String]) -> (MountFlags, String) {
    let mut flags = MountFlags::default();
    let mut rest = Vec::new();
    for option in options {
        match option.as_str() {
            "ro" => flags.read_only = true,
            "nosuid" => flags.no_suid = true,
            "nodev" => flags.no_dev = true,
            "noexec" => flags.no_exec = true,
            "noatime" => flags.no_atime = true,
            // For mount(8) and systemd alone, or what the kernel does anyway.
            "defaults" | "rw" | "suid" | "dev" | "exec" | "auto" | "nofail" | "relatime" | "async" | "nouser"
            | "_netdev" | "user" | "users" | "group" | "owner" | "sync" | "dirsync" | "lazytime" | "nodiratime"
            | "strictatime" | "" => {}
            other if other.starts_with("x-") || other.starts_with("X-") || other.starts_with("comment=") => {}
            other => rest.push(other),
        }
    }
    (flags, rest.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_options_between_the_kernel_and_the_rest() {
        let options = ["defaults", "noatime", "nofail", "x-systemd.growfs", "data=ordered", "nosuid"];
        let (flags, rest) = mount_options(&options.map(str::to_owned));
        assert!(flags.no_atime && flags.no_suid && !flags.read_only);
        assert_eq!(rest, "data=ordered");
    }
}
