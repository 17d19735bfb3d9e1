//! Step 8, second half: `/var`. The image's own under a layer of memory, or a
//! disk: the one that `/etc/fstab` names, or the partition of the standard type
//! beside the config partition. A disk that is missing degrades the node, it does not stop it.

use super::blocks::{self, Block, Look};
use super::config::Config;
use super::{Boot, BootError, devices, failed, fill, identity, operator, volume};
use crate::fstab::{self, Entry, Source};
use crate::machine::{Mount, MountFlags};
use appliance_contract::gpt_types;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// What `/var` lies on, for the record: `image` or a device.
pub fn mount(boot: &mut Boot<'_>, config: &Config) -> Result<(String, String), BootError> {
    let text = fstab_text(boot);
    let wanted = fstab::entry(&text, "/var");
    match on_disk(boot, config, wanted.as_ref()) {
        Ok(Some(done)) => Ok(done),
        Ok(None) => in_memory(boot),
        Err(reason) => {
            boot.warn(format!("/var: {reason}; it lies in memory for this boot"));
            if wanted.is_some() {
                cover_unit(boot)?;
            }
            in_memory(boot)
        }
    }
}

/// The `/etc/fstab` that the running system will see.
fn fstab_text(boot: &Boot<'_>) -> String {
    let own = identity::layer(boot).join("fstab");
    let path = if fs::symlink_metadata(&own).is_ok() { own } else { boot.places.sysroot.join("etc/fstab") };
    fs::read_to_string(path).unwrap_or_default()
}

fn in_memory(boot: &mut Boot<'_>) -> Result<(String, String), BootError> {
    let target = boot.places.sysroot.join("var");
    overlay(boot, "var", &[&target], &target)?;
    Ok(("image".into(), "the image's, with a layer of memory: changes are gone at the next boot".into()))
}

/// Lays memory, mounted at `/run/appliance/NAME`, over `lower` at `target`; the
/// topmost of `lower` stands first.
pub fn overlay(boot: &mut Boot<'_>, name: &str, lower: &[&Path], target: &Path) -> Result<(), BootError> {
    boot.load_named(&["overlay"]);
    let folder = boot.places.ours().join(name);
    if !is_mounted_memory(boot, &folder) {
        fs::create_dir_all(&folder).map_err(failed("making the folder", &folder))?;
        boot.mount_memory(&folder, "50%").map_err(failed("mounting memory at", &folder))?;
    }
    let (upper, work) = (folder.join("memory"), folder.join("work"));
    for path in [&upper, &work] {
        fs::create_dir_all(path).map_err(failed("making the folder", path))?;
    }
    // The union's root shows the uppermost folder's mode and owner.
    let stat = fs::metadata(target).map_err(failed("looking at", target))?;
    boot.machine.set_owner(&upper, stat.uid(), stat.gid()).map_err(failed("setting the owner of", &upper))?;
    fs::set_permissions(&upper, fs::Permissions::from_mode(stat.mode() & 0o7777))
        .map_err(failed("setting the mode of", &upper))?;
    let lower: Vec<String> = lower.iter().map(|path| path.display().to_string()).collect();
    let options = format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), upper.display(), work.display());
    let mount = Mount { source: "appliance", target, kind: "overlay", flags: MountFlags::default(), options: &options };
    boot.machine.mount(&mount).map_err(failed("laying memory over", target))
}

/// The layer of `/etc` has its memory mounted already, for the config's files.
fn is_mounted_memory(boot: &Boot<'_>, folder: &Path) -> bool {
    folder == boot.places.ours().join("etc")
}

/// The unit that systemd makes from fstab waits for the missing device; one in
/// `/run` stands before it and describes what is there.
fn cover_unit(boot: &Boot<'_>) -> Result<(), BootError> {
    let folder = boot.places.run.join("systemd/system");
    fs::create_dir_all(&folder).map_err(failed("making the folder", &folder))?;
    let path = folder.join("var.mount");
    let text = "[Unit]\nDescription=/var in memory, its disk is missing\n\n[Mount]\nWhat=appliance\nWhere=/var\nType=overlay\n";
    fs::write(&path, text).map_err(failed("writing", &path))
}

/// `None` when nothing asks for a disk.
fn on_disk(boot: &mut Boot<'_>, config: &Config, wanted: Option<&Entry>) -> Result<Option<(String, String)>, String> {
    let (block, look, check) = match wanted {
        Some(entry) => {
            let (block, look) = wait_for(boot, &entry.source)?;
            (block, look, entry.check)
        }
        None => match standard_partition(boot, config) {
            Some((block, look)) => (block, look, true),
            None => return Ok(None),
        },
    };
    let device = format!("/dev/{}", block.name);
    let kind = match (look.file_system(), &look.contents) {
        (Some(found), _) => found.kind,
        (None, Ok(contents)) => return Err(format!("{device} holds no file system ({contents:?})")),
        (None, Err(error)) => return Err(format!("{device} cannot be read: {error}")),
    };
    if let Some(holder) = block.in_use() {
        return Err(format!("{device} is in use: {holder}"));
    }
    if check {
        check_file_system(boot, kind.name(), &device)?;
    }
    boot.load_named(volume::modules(kind));
    let (flags, options) = mount_options(wanted.map(|entry| entry.options.as_slice()).unwrap_or_default());
    let target = boot.places.sysroot.join("var");
    // The image's own /var is needed for filling, so the disk is mounted beside it first.
    let beside = boot.places.ours().join("var-disk");
    fs::create_dir_all(&beside).map_err(|error| format!("making the folder {}: {error}", beside.display()))?;
    let source = block.node.to_string_lossy();
    let mount = Mount { source: &source, target: &beside, kind: kind.name(), flags, options: &options };
    boot.machine.mount(&mount).map_err(|error| format!("mounting {device} ({kind}): {error}"))?;
    let filled = match fill::fill(&target, &beside) {
        Ok(filled) => filled,
        Err(error) => {
            let _ = boot.machine.unmount(&beside);
            return Err(format!("filling {device} from the image: {error}"));
        }
    };
    boot.machine.sync();
    boot.machine.move_mount(&beside, &target).map_err(|error| {
        let _ = boot.machine.unmount(&beside);
        format!("moving {device} to /var: {error}")
    })?;
    // Only a mount point, and empty again.
    let _ = fs::remove_dir(&beside);
    let filled = filled.map(|count| format!(", filled from the image with {count} files")).unwrap_or_default();
    Ok(Some((device.clone(), format!("{device} ({kind}){filled}"))))
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

fn wait_for(boot: &mut Boot<'_>, source: &Source) -> Result<(Block, Look), String> {
    if let Source::Other(text) = source {
        return Err(format!(
            "fstab names {text}, which this early only UUID=, LABEL=, PARTUUID=, PARTLABEL= or a disk below /dev can be"
        ));
    }
    let begun = boot.machine.uptime();
    loop {
        let changed = boot.poll();
        if changed || boot.machine.uptime() == begun {
            let blocks = blocks::list(&boot.places);
            let looks = blocks::look(&blocks);
            if let Some(found) = blocks.into_iter().zip(looks).find(|(block, look)| matches(source, block, look)) {
                return Ok(found);
            }
        }
        if boot.machine.uptime().saturating_sub(begun) >= boot.args.timeout {
            return Err(format!("no device for {source} (from fstab) within {} s", boot.args.timeout.as_secs()));
        }
        boot.machine.sleep(devices::INTERVAL);
    }
}

/// The partition of the standard type on the disk that holds the config.
fn standard_partition(boot: &Boot<'_>, config: &Config) -> Option<(Block, Look)> {
    let blocks = blocks::list(&boot.places);
    let looks = blocks::look(&blocks);
    blocks.into_iter().zip(looks).find(|(block, look)| {
        block.partition.is_some()
            && block.disk() == config.block.disk()
            && look.partition_type.as_deref() == Some(gpt_types::VAR)
    })
}

/// fsck(8): 1 is "errors corrected", 2 "reboot" (which concerns a mounted root), 4 and more mean damage.
fn check_file_system(boot: &Boot<'_>, kind: &str, device: &str) -> Result<(), String> {
    let program = format!("/sbin/fsck.{kind}");
    if fs::symlink_metadata(boot.places.sysroot.join(program.trim_start_matches('/'))).is_err() {
        return Ok(());
    }
    let bound = operator::bind(boot);
    let done = boot.machine.run(&program, &["-a", device]);
    for target in bound.iter().rev() {
        let _ = boot.machine.unmount(target);
    }
    match done {
        Ok((status, _)) if status < 4 => Ok(()),
        Ok((status, output)) => {
            let last = output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            Err(format!("{program} {device} ended with status {status}: {last}"))
        }
        Err(error) => Err(format!("running {program}: {error}")),
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
