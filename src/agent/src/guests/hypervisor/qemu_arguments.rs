//! What QEMU is given: pure rendering.

use crate::guests::plan::Plan;
use appliance_contract::guest::{Accel, CardModel, Machine};
use serde_json::{Value, json};
use std::path::Path;

/// The template's file name.
pub const TEMPLATE: &str = "qemu-args.hbs";

/// What the plan does not say of a guest under KVM.
#[derive(Debug, Clone, Copy)]
pub struct Qemu<'a> {
    /// The board.
    pub machine: Machine,
    /// KVM or emulation.
    pub accel: Accel,
    /// The sockets of its serial line and of its monitor.
    pub console: &'a Path,
    /// The monitor's socket.
    pub monitor: &'a Path,
    /// Descriptors that QEMU inherits; a disk's path `/dev/fdset/N` names one.
    pub files: &'a [i32],
}

/// A value that no line of a rendered template can hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the {what} {found:?} has a control character, which no argument of QEMU's can hold in its template")]
pub struct ControlCharacter {
    /// Which value.
    pub what: &'static str,
    /// The value.
    pub found: String,
}

/// The values of the template.
pub fn values(plan: &Plan, qemu: &Qemu<'_>) -> Result<Value, ControlCharacter> {
    let text = |what: &'static str, path: &Path| {
        let found = path.to_string_lossy().into_owned();
        if found.chars().any(char::is_control) { Err(ControlCharacter { what, found }) } else { Ok(found) }
    };
    let bus = match qemu.machine {
        Machine::Q35 => "pci",
        Machine::Microvm => "device",
    };
    let mut disks = Vec::new();
    for (index, disk) in plan.disks.iter().enumerate() {
        let driver = if disk.is_device { "host_device" } else { "file" };
        let path = text("path of a disk", &disk.path)?;
        disks.push(json!({
            "name": disk.name, "node": format!("disk{index}"), "driver": driver, "path": path,
            "read_only": disk.read_only,
        }));
    }
    let cards: Vec<Value> = plan
        .cards
        .iter()
        .map(|card| {
            let device = match card.model {
                CardModel::Virtio => format!("virtio-net-{bus}"),
                CardModel::E1000e => "e1000e".to_owned(),
            };
            json!({"mac": card.mac, "tap": card.interface, "bridge": card.bridge, "device": device})
        })
        .collect();
    Ok(json!({
        "name": plan.name,
        "machine": match qemu.machine { Machine::Q35 => "q35", Machine::Microvm => "microvm" },
        "accel": match qemu.accel { Accel::Kvm => "kvm", Accel::Tcg => "tcg" },
        // Emulation's AVX is not sound in QEMU 7.2.
        "cpu": match qemu.accel { Accel::Kvm => "host", Accel::Tcg => "max,-avx,-avx2" },
        "bus": bus,
        "memory": plan.memory_mib,
        "vcpus": plan.vcpus,
        "kernel": text("path of the kernel", &plan.kernel)?,
        "initramfs": text("path of the initramfs", &plan.initramfs)?,
        "arguments": text("kernel's arguments", Path::new(&plan.arguments))?,
        "files": qemu.files,
        "disks": disks,
        "cards": cards,
        "console": text("path of the console", qemu.console)?,
        "monitor": text("path of the monitor", qemu.monitor)?,
    }))
}

/// The arguments in a rendered template: a line each.
pub fn arguments(rendered: &str) -> Vec<String> {
    rendered.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::hypervisor::templates::render_text;
    use crate::guests::plan::{PlanCard, PlanDisk};

    const SOURCE: &str = include_str!("../../../../../templates/qemu-args.hbs");

    fn plan() -> Plan {
        Plan {
            name: "web".into(),
            memory_mib: 256,
            vcpus: 2,
            kernel: "/run/appliance/guests/web/vmlinuz".into(),
            initramfs: "/run/a,b".into(),
            arguments: "appliance.root=dev:vda console=ttyS0 x=\"50%\",y".into(),
            disks: vec![
                PlanDisk { name: "root".into(), path: "/dev/fdset/5".into(), read_only: true, is_device: true },
                PlanDisk { name: "data".into(), path: "/data/a,b'\"%.img".into(), read_only: false, is_device: false },
            ],
            cards: vec![PlanCard {
                bridge: "br0".into(),
                mac: "02:00:00:00:00:01".into(),
                model: CardModel::Virtio,
                interface: "gaa.0".into(),
            }],
        }
    }

    fn qemu() -> Qemu<'static> {
        Qemu {
            machine: Machine::Q35,
            accel: Accel::Kvm,
            console: Path::new("/run/console"),
            monitor: Path::new("/run/mon,itor"),
            files: &[5],
        }
    }

    #[test]
    fn a_command_line_is_rendered_with_whatever_values() {
        let text = render_text(SOURCE, &values(&plan(), &qemu()).unwrap()).unwrap();
        let expected = r#"-name
guest=web
-nodefaults
-no-user-config
-no-reboot
-display
none
-machine
q35,accel=kvm
-cpu
host
-smp
2
-m
256M
-kernel
/run/appliance/guests/web/vmlinuz
-initrd
/run/a,b
-append
appliance.root=dev:vda console=ttyS0 x="50%",y
-add-fd
fd=5,set=5
-blockdev
driver=raw,node-name=disk0,read-only=on,file.driver=host_device,file.locking=off,file.filename=/dev/fdset/5
-device
virtio-blk-pci,drive=disk0,serial=root
-blockdev
driver=raw,node-name=disk1,read-only=off,file.driver=file,file.locking=off,file.filename=/data/a,,b'"%.img
-device
virtio-blk-pci,drive=disk1,serial=data
-netdev
tap,id=card0,ifname=gaa.0,script=no,downscript=no
-device
virtio-net-pci,netdev=card0,mac=02:00:00:00:00:01
-device
virtio-rng-pci
-chardev
socket,id=console,path=/run/console,server=on,wait=on
-serial
chardev:console
-chardev
socket,id=monitor,path=/run/mon,,itor,server=on,wait=off
-mon
chardev=monitor,mode=control
-sandbox
on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"#;
        assert_eq!(arguments(&text).join("\n"), expected);
    }

    #[test]
    fn a_microvm_has_no_pci() {
        let qemu = Qemu { machine: Machine::Microvm, accel: Accel::Tcg, files: &[], ..qemu() };
        let text = render_text(SOURCE, &values(&plan(), &qemu).unwrap()).unwrap();
        assert!(text.contains("microvm,accel=tcg") && text.contains("virtio-blk-device,drive=disk0"), "{text}");
        assert!(!text.contains("-pci") && !text.contains("-add-fd"), "{text}");
    }

    #[test]
    fn a_line_break_cannot_become_an_argument() {
        let mut plan = plan();
        plan.disks[1].path = "/data/a\n-sandbox".into();
        let error = values(&plan, &qemu()).unwrap_err().to_string();
        assert!(error.starts_with("the path of a disk \"/data/a\\n-sandbox\" has a control character"), "{error}");
    }
}
