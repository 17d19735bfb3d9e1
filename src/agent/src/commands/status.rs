//! `appliance status`: what the boot's record says, and what of it still holds.

use super::node_status::{Mounted, Status, Verity};
use super::{CommandError, DIFFERS, OK, World, etc_diff, mounts, status_text};
use crate::guests::overview;
use crate::system::boot_record;
use appliance_contract::boot_record::BootRecord;
use appliance_contract::guest;
use std::fs;
use std::io::Write;

pub fn run(world: &World<'_>, json: bool, out: &mut dyn Write) -> Result<u8, CommandError> {
    let status = gather(world)?;
    if json {
        let text = serde_json::to_string_pretty(&status).map_err(std::io::Error::from)?;
        writeln!(out, "{text}")?;
    } else {
        out.write_all(status_text::render(&status).as_bytes())?;
    }
    Ok(if status.is_well() { OK } else { DIFFERS })
}

fn gather(world: &World<'_>) -> Result<Status, CommandError> {
    let boot = boot_record::read(world.root)?;
    let mountinfo = world.line("/proc/self/mountinfo").unwrap_or_default();
    let root = mounts::at(&mountinfo, "/");
    let mounted = |mount: mounts::Mount| Mounted {
        source: mount.source,
        file_system: mount.file_system,
        read_only: mount.read_only,
    };
    let uptime = world.line("/proc/uptime");
    Ok(Status {
        verity: verity(world, &boot, root.as_ref()),
        kernel: world.line("/proc/sys/kernel/osrelease"),
        hypervisor: world.line("/sys/hypervisor/type"),
        uptime_s: uptime.and_then(|text| text.split('.').next()?.parse().ok()),
        root: root.map(mounted),
        var: mounts::at(&mountinfo, "/var").map(mounted),
        changes_in_memory: etc_diff::memory_changes(world).ok(),
        trouble: overview::trouble(world),
        guests: overview::all(world).map_err(|error| CommandError::Read { path: guest::DIRECTORY.into(), error })?,
        boot,
    })
}

/// The kernel's word on the device that `/` is on (Documentation/admin-guide/device-mapper/verity.rst, "Status").
fn verity(world: &World<'_>, boot: &BootRecord, root: Option<&mounts::Mount>) -> Verity {
    if boot.root.root_hash.is_none() {
        return Verity::Unverified;
    }
    let unknown = |reason: String| Verity::Unknown { reason };
    let Some(root) = root else { return unknown("/proc/self/mountinfo has no line for /".into()) };
    let mapped = world.at(format!("/sys/dev/block/{}/dm", root.device));
    let read = |name: &str| fs::read_to_string(mapped.join(name)).map(|text| text.trim().to_owned());
    let name = match read("name") {
        Ok(name) => name,
        Err(error) => return unknown(format!("/ is on {}, which is no mapped device: {error}", root.source)),
    };
    if read("suspended").is_ok_and(|text| text == "1") {
        return unknown(format!("the device {name} is suspended"));
    }
    match (world.mapped_status)(&name) {
        Ok(status) if status.trim_start().starts_with('V') => Verity::Verified,
        Ok(status) if status.trim_start().starts_with('C') => Verity::Corrupted,
        Ok(status) => unknown(format!("the kernel's word for {name} is {status:?}, expected V or C")),
        Err(error) => unknown(format!("asking the kernel for {name}: {error}")),
    }
}
