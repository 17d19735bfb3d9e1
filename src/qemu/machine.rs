//! A virtual machine as data, and QEMU's command line for it.

use super::direct::Direct;
use super::firmware::Flash;
use super::{Accelerator, Firmware, QemuError};
use crate::util::file_error::At as _;
use serde::Deserialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// How a drive is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bus {
    /// A CD drive on SATA.
    Cd,
    /// A USB stick.
    Usb,
    /// A SATA disk (AHCI).
    Sata,
    /// A virtio disk on PCI.
    Virtio,
}

/// A disk, CD or stick of the machine.
#[derive(Debug, Clone)]
pub struct Drive {
    /// Also QEMU's id: letters, digits and hyphens.
    pub name: String,
    /// The raw image behind it.
    pub file: PathBuf,
    /// How it is attached.
    pub bus: Bus,
    /// Whether writes reach `file`; otherwise they go to a temporary overlay.
    pub keep_writes: bool,
    /// Position in the firmware's boot order, from 0; `None`: not booted from.
    pub boot_index: Option<u32>,
}

/// All that QEMU emulates, but for what QEMU 7.2 emulates wrongly: SMAP and XSAVE break a Xen host; without AVX too, which
/// needs XSAVE, as Linux measures its RAID 6 code by what the processor claims, and dies of an invalid instruction; without
/// RDTSCP, which Xen then emulates for its guests, and QEMU's SVM does not tell it the instruction's length: they crash.
pub const PROCESSOR: &str = "max,-smap,-xsave,-avx,-avx2,-rdtscp";

/// What QEMU is to emulate. `Machine::command` is pure, so that it can be tested.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What it starts from.
    pub firmware: Firmware,
    /// Who runs its instructions.
    pub accelerator: Accelerator,
    /// Its memory, in MiB.
    pub memory_mib: u32,
    /// The processor that is emulated, as QEMU's `-cpu` takes it; [`PROCESSOR`] where nothing else is asked for.
    pub processor: String,
    /// In the order in which QEMU makes them.
    pub drives: Vec<Drive>,
    /// What is started in the place of a drive's boot loader.
    pub direct: Option<Direct>,
    /// Names of its network cards, which are QEMU's ids: letters, digits and hyphens.
    pub cards: Vec<String>,
    /// Port of this machine on which the guest's port 22 answers.
    pub ssh_port: Option<u16>,
    /// QEMU's control socket.
    pub monitor: Option<PathBuf>,
}

impl Machine {
    /// QEMU's arguments, without the program. `folder` receives this machine's UEFI variables.
    pub fn command(&self, folder: &Path) -> Result<Vec<OsString>, QemuError> {
        let flash = self.firmware.flash()?;
        if let Some(flash) = &flash {
            let copy = variables(folder);
            std::fs::copy(&flash.variables, &copy).at("copying UEFI variables to", &copy)?;
        }
        Ok(self.arguments(flash.as_ref(), folder))
    }

    fn arguments(&self, flash: Option<&Flash>, folder: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
        add(&["-nodefaults", "-no-reboot", "-display", "none", "-smp", "1", "-m", &format!("{}M", self.memory_mib)]);
        match self.accelerator {
            Accelerator::Kvm => add(&["-accel", "kvm", "-cpu", "host"]),
            // The translation buffer's bound keeps a machine's memory near 1.3 GB.
            Accelerator::Tcg => add(&["-accel", "tcg,tb-size=128", "-cpu", &self.processor]),
        }
        // OVMF keeps Secure Boot's variables from the guest only in system management mode.
        let secure = self.firmware == Firmware::SecureBoot;
        add(&["-machine", if secure { "q35,smm=on" } else { "q35" }]);
        if secure {
            add(&["-global", "driver=cfi.pflash01,property=secure,value=on"]);
        }
        add(&["-device", "VGA", "-device", "qemu-xhci,id=usb", "-device", "virtio-rng-pci"]);
        let mut forward = self.ssh_port.map(|port| format!(",hostfwd=tcp:127.0.0.1:{port}-:22")).unwrap_or_default();
        for card in &self.cards {
            add(&["-netdev", &format!("user,id={card}{}", std::mem::take(&mut forward))]);
            add(&["-device", &format!("virtio-net-pci,netdev={card},id={card}-device")]);
        }
        let mut add_with = |option: &str, text: String, path: &Path| {
            let mut value = OsString::from(text);
            value.push(escape(path));
            arguments.extend([OsString::from(option), value]);
        };
        if let Some(flash) = flash {
            add_with("-drive", "if=pflash,format=raw,unit=0,readonly=on,file=".to_owned(), &flash.code);
            add_with("-drive", "if=pflash,format=raw,unit=1,file=".to_owned(), &variables(folder));
        }
        if let Some(direct) = &self.direct {
            // These are paths as they are, no lists of options.
            for (option, value) in [("-kernel", &direct.kernel), ("-initrd", &direct.initramfs)] {
                arguments.extend([OsString::from(option), value.into()]);
            }
            arguments.extend([OsString::from("-append"), OsString::from(&direct.arguments)]);
        }
        let mut add_with = |option: &str, text: String, path: &Path| {
            let mut value = OsString::from(text);
            value.push(escape(path));
            arguments.extend([OsString::from(option), value]);
        };
        for drive in &self.drives {
            add_with("-drive", drive.backend(), &drive.file);
        }
        if let Some(monitor) = &self.monitor {
            add_with("-qmp", "unix:".to_owned(), monitor);
            if let Some(last) = arguments.last_mut() {
                last.push(",server=on,wait=off");
            }
        }
        // q35's SATA controller has six ports, one drive each.
        let mut ports = 0..;
        for drive in &self.drives {
            let port = matches!(drive.bus, Bus::Cd | Bus::Sata).then(|| ports.next()).flatten();
            arguments.extend(["-device".into(), drive.device(port).into()]);
        }
        arguments
    }
}

fn variables(folder: &Path) -> PathBuf {
    folder.join("uefi-variables.fd")
}

/// QEMU reads a comma in an option's value as its end unless it is doubled.
fn escape(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

impl Drive {
    fn backend(&self) -> String {
        let write = match (self.bus, self.keep_writes) {
            (Bus::Cd, _) => "readonly=on",
            (_, true) => "snapshot=off",
            (_, false) => "snapshot=on",
        };
        format!("if=none,format=raw,id={},{write},file=", self.name)
    }

    fn device(&self, port: Option<u32>) -> String {
        let name = &self.name;
        let driver = match self.bus {
            Bus::Cd => "ide-cd",
            Bus::Usb => "usb-storage,bus=usb.0,removable=on",
            Bus::Sata => "ide-hd",
            Bus::Virtio => "virtio-blk-pci",
        };
        let boot = self.boot_index.map(|index| format!(",bootindex={index}")).unwrap_or_default();
        let port = port.map(|port| format!(",bus=ide.{port}")).unwrap_or_default();
        format!("{driver},drive={name},id={name}-device,serial={name}{port}{boot}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(firmware: Firmware) -> Machine {
        let drive = |name: &str, bus, boot_index| Drive {
            name: name.into(),
            file: format!("/images/{name},v1.img").into(),
            bus,
            keep_writes: false,
            boot_index,
        };
        Machine {
            firmware,
            accelerator: Accelerator::Tcg,
            memory_mib: 2048,
            processor: PROCESSOR.to_owned(),
            drives: vec![drive("medium", Bus::Cd, Some(0)), drive("config", Bus::Sata, None)],
            direct: None,
            cards: vec!["first".to_owned(), "second".to_owned()],
            ssh_port: Some(2222),
            monitor: Some("/run/qmp".into()),
        }
    }

    fn line(machine: &Machine) -> String {
        let flash = Flash { code: "/ovmf/code".into(), variables: "/ovmf/vars".into() };
        let flash = (machine.firmware != Firmware::Bios).then_some(&flash);
        machine.arguments(flash, Path::new("/folder")).join(" ".as_ref()).into_string().unwrap()
    }

    #[test]
    fn a_medium_is_never_written_and_commas_are_doubled() {
        let line = line(&machine(Firmware::Bios));
        assert!(line.contains("if=none,format=raw,id=medium,readonly=on,file=/images/medium,,v1.img"), "{line}");
        assert!(line.contains("id=config,snapshot=on,file=/images/config,,v1.img"), "{line}");
        assert!(line.contains("ide-cd,drive=medium,id=medium-device,serial=medium,bus=ide.0,bootindex=0"), "{line}");
        assert!(line.contains("ide-hd,drive=config,id=config-device,serial=config,bus=ide.1"), "{line}");
        assert!(line.contains("hostfwd=tcp:127.0.0.1:2222-:22"), "{line}");
        assert!(line.contains("unix:/run/qmp,server=on,wait=off"), "{line}");
        assert!(!line.contains("pflash"), "{line}");
    }

    #[test]
    fn a_guest_image_is_started_without_a_loader() {
        let direct = Direct { kernel: "/k,1".into(), initramfs: "/i".into(), arguments: "a=b c".into() };
        let machine = Machine { direct: Some(direct), ..machine(Firmware::Bios) };
        let arguments = machine.arguments(None, Path::new("/folder"));
        let wanted = ["-kernel", "/k,1", "-initrd", "/i", "-append", "a=b c"].map(OsString::from);
        assert!(arguments.windows(6).any(|found| found == wanted), "{arguments:?}");
    }

    #[test]
    fn only_the_first_card_has_the_port() {
        let line = line(&machine(Firmware::Bios));
        let first =
            "-netdev user,id=first,hostfwd=tcp:127.0.0.1:2222-:22 -device virtio-net-pci,netdev=first,id=first-device";
        assert!(line.contains(first), "{line}");
        assert!(
            line.contains("-netdev user,id=second -device virtio-net-pci,netdev=second,id=second-device"),
            "{line}"
        );
        let without = Machine { cards: Vec::new(), ..machine(Firmware::Bios) };
        let line = super::tests::line(&without);
        assert!(!line.contains("virtio-net-pci"), "{line}");
    }

    #[test]
    fn secure_boot_guards_its_variables_by_smm() {
        let line = line(&machine(Firmware::SecureBoot));
        assert!(line.contains("q35,smm=on"), "{line}");
        assert!(line.contains("unit=1,file=/folder/uefi-variables.fd"), "{line}");
    }
}
