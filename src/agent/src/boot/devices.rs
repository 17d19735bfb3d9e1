//! Step 2, devices: drivers for what `/sys` shows, and the block devices that follow.
//!
//! There is no udev here: `/sys` is looked at again and again, so that neither
//! an event that was missed nor the order of arrival decides anything.

use super::Boot;
use super::modules::{LoadPlan, Modules, concerns_storage};
use crate::system::files::names;
use appliance_contract::initramfs::ModuleIndex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two looks.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// After the last arrival, how long the machine must stay quiet before nothing more is expected.
/// USB has no end of enumeration: a hub's ports answer within a second (USB 2.0, 7.1.7.3 and 11.12.2).
const QUIET_USB: Duration = Duration::from_millis(1500);
/// ATA ports have been probed when the driver's loading returns (kernel/module/main.c, do_init_module, waits for all
/// asynchronous work); NVMe and Xen say themselves what they still wait for.
const QUIET_KNOWN: Duration = Duration::from_millis(400);
/// A SCSI host or USB reader that shows no unit for this long has none.
const PATIENCE: Duration = Duration::from_secs(8);

/// What is known of the machine's devices and their drivers.
#[derive(Debug, Default)]
pub struct Devices {
    looked: bool,
    /// Devices by their path in `/sys`, whose modalias was dealt with.
    seen: BTreeSet<PathBuf>,
    loaded: BTreeSet<String>,
    /// Drivers for storage that the initramfs lacks, and the modalias that asks for each.
    missing: BTreeMap<String, String>,
    blocks: BTreeSet<String>,
    last_change: Duration,
    announced: BTreeSet<String>,
}

impl Devices {
    /// Looks once; says whether anything arrived or left.
    pub fn poll(&mut self, boot: &Boot<'_>) -> bool {
        let mut changed = self.load_new(boot);
        let blocks = names(&boot.places.sys.join("class/block")).into_iter().filter(|name| !is_virtual(name)).collect();
        if blocks != self.blocks {
            self.blocks = blocks;
            changed = true;
        }
        if changed {
            self.last_change = boot.machine.uptime();
        }
        changed
    }

    /// Loads the drivers of devices that were not there before.
    fn load_new(&mut self, boot: &Boot<'_>) -> bool {
        let mut arrived = Vec::new();
        for path in devices_with_modalias(&boot.places.sys) {
            if self.seen.contains(&path) {
                continue;
            }
            if let Ok(text) = fs::read_to_string(&path) {
                arrived.push(text.trim_end().to_owned());
                self.seen.insert(path);
            }
        }
        // The first look loads what the index wants in any case.
        if arrived.is_empty() && self.looked {
            return false;
        }
        self.looked = true;
        let plan = boot.modules.plan(arrived.iter().map(String::as_str), &self.loaded);
        self.carry_out(boot, plan);
        true
    }

    /// Loads modules by name. One that is not in the initramfs may be built into the kernel: no error here.
    pub fn load_named(&mut self, boot: &Boot<'_>, names: &[&str]) {
        let wanted = ModuleIndex {
            modules: boot.index.modules.clone(),
            aliases: Vec::new(),
            load: names.iter().map(|&name| name.to_owned()).collect(),
        };
        let mut plan = Modules::new(&wanted).plan([], &self.loaded);
        plan.missing.clear();
        self.carry_out(boot, plan);
    }

    fn carry_out(&mut self, boot: &Boot<'_>, plan: LoadPlan) {
        for (wanted_by, name) in plan.missing {
            if wanted_by == "load" || concerns_storage(&wanted_by) {
                self.missing.insert(name, wanted_by);
            }
        }
        for (name, file) in plan.load {
            let path = boot.places.initramfs.join(file.trim_start_matches('/'));
            // ENODEV: the driver's own look at the machine says that it is not for it.
            match boot.machine.load_module(&path) {
                Err(error) if error.raw_os_error() != Some(nix::libc::ENODEV) => {
                    boot.console.say(format!("loading driver {name}: {error}"));
                }
                _ => {}
            }
            self.loaded.insert(name);
        }
    }

    /// Names drivers that the machine wants and the initramfs lacks, each once.
    pub fn announce_missing(&mut self, boot: &mut Boot<'_>) {
        for (driver, wanted_by) in &self.missing {
            if self.announced.insert(driver.clone()) {
                boot.warn(format!(
                    "no driver {driver} in this image's initramfs, which {wanted_by} asks for; \
                     the profile's initramfs.include would add it"
                ));
            }
        }
    }

    /// Whether nothing more is expected to appear.
    pub fn settled(&self, boot: &Boot<'_>) -> bool {
        let quiet = boot.machine.uptime().saturating_sub(self.last_change);
        let sys = &boot.places.sys;
        quiet >= quiet_needed(sys) && (quiet >= PATIENCE || pending(sys).is_none())
    }

    /// Numbers of loaded drivers and of block devices.
    pub fn count(&self) -> (usize, usize) {
        (self.loaded.len(), self.blocks.len())
    }

    /// Missing drivers, each with what asked for it.
    pub fn missing(&self) -> impl Iterator<Item = (&str, &str)> {
        self.missing.iter().map(|(driver, wanted_by)| (driver.as_str(), wanted_by.as_str()))
    }
}

/// Not storage of the machine: made by the kernel or by the agent, or a floppy drive, whose motor takes seconds to
/// tell that it is empty.
pub fn is_virtual(name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    matches!(stem, "loop" | "ram" | "zram" | "dm-" | "fd" | "nbd") || name.starts_with("nbd")
}

/// Every device that a bus knows, and the processor, whose features name the fast hash modules.
fn devices_with_modalias(sys: &Path) -> Vec<PathBuf> {
    let mut found = vec![sys.join("devices/system/cpu/modalias")];
    for bus in names(&sys.join("bus")) {
        let folder = sys.join("bus").join(bus).join("devices");
        found.extend(names(&folder).into_iter().map(|name| folder.join(name).join("modalias")));
    }
    found
}

fn quiet_needed(sys: &Path) -> Duration {
    let known = |name: &String| {
        let driver = fs::read_to_string(sys.join("class/scsi_host").join(name).join("proc_name")).unwrap_or_default();
        matches!(driver.trim_end(), "ahci" | "ata_piix" | "ata_generic" | "pata_acpi")
    };
    let other_hosts = !names(&sys.join("class/scsi_host")).iter().all(known);
    if other_hosts || !names(&sys.join("bus/usb/devices")).is_empty() { QUIET_USB } else { QUIET_KNOWN }
}

/// What the machine itself says it still waits for.
fn pending(sys: &Path) -> Option<String> {
    let value = |path: PathBuf| fs::read_to_string(path).map(|text| text.trim_end().to_owned()).unwrap_or_default();
    for name in names(&sys.join("class/nvme")) {
        let state = value(sys.join("class/nvme").join(&name).join("state"));
        if matches!(state.as_str(), "new" | "connecting" | "resetting") {
            return Some(format!("{name} ({state})"));
        }
    }
    for name in names(&sys.join("bus/usb/devices")) {
        let device = sys.join("bus/usb/devices").join(&name);
        // usb-storage waits a second (its delay_use) before it asks for units.
        if value(device.join("bInterfaceClass")) == "08" && !has_unit(&device) {
            return Some(format!("USB storage {name}"));
        }
    }
    for name in names(&sys.join("bus/xen/devices")) {
        if name.starts_with("vbd-") && !sys.join("bus/xen/devices").join(&name).join("block").exists() {
            return Some(format!("Xen disk {name}"));
        }
    }
    None
}

/// Whether a `targetH:C:T` exists below a USB interface's SCSI host.
fn has_unit(interface: &Path) -> bool {
    names(interface)
        .iter()
        .filter(|name| name.starts_with("host"))
        .any(|host| names(&interface.join(host)).iter().any(|name| name.starts_with("target")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::tests::{World, put};

    #[test]
    fn loads_drivers_as_devices_appear_and_each_once() {
        let world = World::new();
        let index = world.index(&[("virtio_blk", "virtio:d00000002v*")]);
        let boot = world.boot(&index);
        let mut devices = Devices::default();
        assert!(devices.poll(&boot), "the first look");
        assert!(!devices.poll(&boot));
        put(&world.places().sys.join("bus/virtio/devices/virtio0/modalias"), "virtio:d00000002v00001AF4\n");
        assert!(devices.poll(&boot));
        assert!(!devices.poll(&boot));
        assert_eq!(world.log(), ["module virtio_blk.ko"]);
    }

    #[test]
    fn a_guest_of_xen_loads_its_disks_driver_and_waits_for_the_disk() {
        let world = World::new();
        let sys = world.places().sys;
        let index = world.index(&[("xen_blkfront", "xen:vbd")]);
        let boot = world.boot(&index);
        let mut devices = Devices::default();
        put(&sys.join("bus/xen/devices/vbd-51712/modalias"), "xen:vbd\n");
        put(&sys.join("bus/xen/devices/vif-0/modalias"), "xen:vif\n");
        assert!(devices.poll(&boot));
        assert_eq!(world.log(), ["module xen_blkfront.ko"]);
        boot.machine.sleep(QUIET_KNOWN);
        assert!(!devices.settled(&boot));
        assert_eq!(pending(&sys).as_deref(), Some("Xen disk vbd-51712"));
        put(&sys.join("bus/xen/devices/vbd-51712/block/xvda/size"), "8\n");
        assert!(devices.settled(&boot));
    }

    #[test]
    fn names_the_driver_that_is_not_there() {
        let world = World::new();
        let mut index = world.index(&[("lpfc", "pci:v*d*sv*sd*bc0Csc04i*"), ("snd", "pci:v*d*sv*sd*bc04sc*i*")]);
        index.modules.values_mut().for_each(|module| module.file = None);
        let pci = world.places().sys.join("bus/pci/devices");
        put(&pci.join("0000:00:01.0/modalias"), "pci:v1d2sv3sd4bc0Csc04i00\n");
        put(&pci.join("0000:00:02.0/modalias"), "pci:v1d2sv3sd4bc04sc03i00\n");
        let mut boot = world.boot(&index);
        let mut devices = Devices::default();
        devices.poll(&boot);
        devices.announce_missing(&mut boot);
        devices.announce_missing(&mut boot);
        let said = world.said();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("no driver lpfc"), "{said:?}");
    }

    #[test]
    fn settles_when_nothing_is_pending_and_not_before() {
        let world = World::new();
        let sys = world.places().sys;
        let index = world.index(&[]);
        let boot = world.boot(&index);
        let mut devices = Devices::default();
        devices.poll(&boot);
        assert!(!devices.settled(&boot));
        boot.machine.sleep(QUIET_KNOWN);
        assert!(devices.settled(&boot));
        // A USB interface of class 08 without a unit yet.
        put(&sys.join("bus/usb/devices/1-1:1.0/bInterfaceClass"), "08\n");
        boot.machine.sleep(QUIET_USB);
        assert!(!devices.settled(&boot));
        assert_eq!(pending(&sys).as_deref(), Some("USB storage 1-1:1.0"));
        put(&sys.join("bus/usb/devices/1-1:1.0/host3/target3:0:0/uevent"), "");
        assert!(devices.settled(&boot));
        put(&sys.join("class/nvme/nvme0/state"), "connecting\n");
        assert!(!devices.settled(&boot));
        // What never answers does not hold the boot for ever.
        boot.machine.sleep(PATIENCE);
        assert!(devices.settled(&boot));
    }

    #[test]
    fn passes_over_what_is_no_disk() {
        for name in ["loop0", "ram15", "zram0", "dm-3", "fd0", "nbd0p1"] {
            assert!(is_virtual(name), "{name}");
        }
        for name in ["sda", "sda1", "vda", "xvda2", "nvme0n1p3", "sr0", "mmcblk0p1", "md0"] {
            assert!(!is_virtual(name), "{name}");
        }
    }
}
