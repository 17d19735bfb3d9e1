//! What `xl create` is given: pure rendering.

use crate::guests::plan::{Plan, letters};
use serde_json::{Value, json};

/// The template's file name.
pub const TEMPLATE: &str = "xl.cfg.hbs";
/// In the host's image.
const BLOCK_SCRIPT: &str = "/usr/libexec/appliance/block";
const VIF_SCRIPT: &str = "/usr/libexec/appliance/vif";

/// How Xen runs a guest's kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// With the processor's help.
    Pvh,
    /// Paravirtualised, where the processor has no virtualisation.
    Pv,
}

impl Type {
    /// By `xl info`'s `virt_caps`: PVH needs the processor's virtualisation with paging in hardware.
    pub fn by_capabilities(virt_caps: &str) -> Self {
        let has = |word| virt_caps.split_ascii_whitespace().any(|found| found == word);
        if has("hvm") && has("hap") { Self::Pvh } else { Self::Pv }
    }

    /// As xl's configuration calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pvh => "pvh",
            Self::Pv => "pv",
        }
    }
}

/// The values of the template.
pub fn values(plan: &Plan, kind: Type) -> Value {
    let disks: Vec<Value> = plan
        .disks
        .iter()
        .enumerate()
        .map(|(index, disk)| {
            let (device, path) = (format!("xvd{}", letters(index)), disk.path.to_string_lossy());
            let access = if disk.read_only { "ro" } else { "rw" };
            // The target comes last: it is taken to its end, commas and all (xl-disk-configuration(5)).
            // The stock script takes files too, and its time.
            let script = if disk.is_device { format!("script={BLOCK_SCRIPT},") } else { String::new() };
            let specification = format!("format=raw,vdev={device},access={access},{script}target={path}");
            json!({"name": disk.name, "device": device, "access": access, "path": path, "specification": specification})
        })
        .collect();
    let cards: Vec<Value> = plan
        .cards
        .iter()
        .map(|card| {
            let (mac, bridge, interface) = (&card.mac, &card.bridge, &card.interface);
            let specification = format!("mac={mac},bridge={bridge},vifname={interface},script={VIF_SCRIPT}");
            json!({"mac": card.mac, "bridge": card.bridge, "interface": card.interface, "specification": specification})
        })
        .collect();
    json!({
        "name": plan.name,
        "type": kind.name(),
        "kernel": plan.kernel.to_string_lossy(),
        "initramfs": plan.initramfs.to_string_lossy(),
        "arguments": plan.arguments,
        "memory": plan.memory_mib,
        "vcpus": plan.vcpus,
        "disks": disks,
        "cards": cards,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::hypervisor::templates::render_text;
    use crate::guests::plan::{PlanCard, PlanDisk};
    use appliance_contract::guest::CardModel;

    const SOURCE: &str = include_str!("../../../../../templates/xl.cfg.hbs");

    #[test]
    fn a_domain_is_rendered_with_whatever_values() {
        let disk = |name: &str, path: &str, read_only| PlanDisk {
            name: name.into(),
            path: path.into(),
            read_only,
            is_device: path.starts_with("/dev/"),
        };
        let plan = Plan {
            name: "web".into(),
            memory_mib: 256,
            vcpus: 2,
            kernel: "/run/appliance/guests/web/vmlinuz".into(),
            initramfs: "/run/a\"b\\c".into(),
            arguments: "appliance.root=dev:xvda console=hvc0 x=\"50%\"\nevil = 1".into(),
            disks: vec![
                disk("root", "/dev/loop3", true),
                disk("data", "/data/a,b 'c' \"d\".img", false),
                disk("config", "/dev/loop4", true),
            ],
            cards: vec![PlanCard {
                bridge: "br0".into(),
                mac: "02:00:00:00:00:01".into(),
                model: CardModel::Virtio,
                interface: "gaa.0".into(),
            }],
        };
        let text = render_text(SOURCE, &values(&plan, Type::Pv)).unwrap();
        let expected = r#"# The domain of guest web, as `xl create` reads it (xl.cfg(5)).
# quote makes a string that xl reads as the value, whatever is in it.
name = "web"
type = "pv"
kernel = "/run/appliance/guests/web/vmlinuz"
ramdisk = "/run/a\"b\\c"
extra = "appliance.root=dev:xvda console=hvc0 x=\"50%\"\012evil = 1"
memory = 256
maxmem = 256
vcpus = 2
disk = [
    "format=raw,vdev=xvda,access=ro,script=/usr/libexec/appliance/block,target=/dev/loop3",
    "format=raw,vdev=xvdb,access=rw,target=/data/a,b 'c' \"d\".img",
    "format=raw,vdev=xvdc,access=ro,script=/usr/libexec/appliance/block,target=/dev/loop4",
]
vif = [
    "mac=02:00:00:00:00:01,bridge=br0,vifname=gaa.0,script=/usr/libexec/appliance/vif",
]
# The unit decides what becomes of a guest that ends: xl only tells it.
on_poweroff = "destroy"
on_reboot = "destroy"
on_crash = "destroy"
on_watchdog = "destroy"
on_soft_reset = "destroy"
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn the_type_follows_what_the_machine_can() {
        assert_eq!(Type::by_capabilities("pv hvm hvm_directio pv_directio hap shadow gnttab-v1"), Type::Pvh);
        assert_eq!(Type::by_capabilities("pv gnttab-v1"), Type::Pv);
        assert_eq!(Type::by_capabilities("pv hvm shadow"), Type::Pv);
    }
}
