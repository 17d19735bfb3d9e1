//! Which kernel modules this machine wants, in the order in which to load them.

use crate::formats::fnmatch::fnmatch;
use appliance_contract::initramfs::ModuleIndex;
use std::collections::{BTreeSet, HashMap};

/// Modules to load, and those that are missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadPlan {
    /// Module and its file in the initramfs; what a module needs comes before it.
    pub load: Vec<(String, String)>,
    /// What the machine asked for (a modalias, or `load` for the index's own list) and the module that is not there.
    pub missing: Vec<(String, String)>,
}

/// An index made ready for many look-ups: a machine shows a few hundred
/// modaliases, a kernel has tens of thousands of patterns.
#[derive(Debug)]
pub struct Modules<'a> {
    index: &'a ModuleIndex,
    /// Patterns by what stands before their first wildcard.
    by_prefix: HashMap<&'a str, Vec<usize>>,
    /// The lengths that occur among those prefixes, ascending.
    lengths: Vec<usize>,
}

impl<'a> Modules<'a> {
    /// No module is loaded yet.
    pub fn new(index: &'a ModuleIndex) -> Self {
        let mut by_prefix: HashMap<&str, Vec<usize>> = HashMap::with_capacity(index.aliases.len());
        let mut lengths = BTreeSet::new();
        for (number, (pattern, _)) in index.aliases.iter().enumerate() {
            let end = pattern.find(['*', '?', '[', '\\']).unwrap_or(pattern.len());
            by_prefix.entry(&pattern[..end]).or_default().push(number);
            lengths.insert(end);
        }
        Self { index, by_prefix, lengths: lengths.into_iter().collect() }
    }

    /// The modules that `modalias` names, in the index's order.
    pub fn matching(&self, modalias: &str) -> Vec<&'a str> {
        let mut found = BTreeSet::new();
        for &length in self.lengths.iter().take_while(|&&length| length <= modalias.len()) {
            let Some(prefix) = modalias.get(..length) else { continue };
            for &number in self.by_prefix.get(prefix).into_iter().flatten() {
                if fnmatch(&self.index.aliases[number].0, modalias) {
                    found.insert(number);
                }
            }
        }
        let mut names: Vec<&str> = Vec::new();
        for number in found {
            let name = self.index.aliases[number].1.as_str();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// What to load for `modaliases`, leaving out what is `loaded`. The index's own list comes first.
    pub fn plan<'m>(&self, modaliases: impl IntoIterator<Item = &'m str>, loaded: &BTreeSet<String>) -> LoadPlan {
        let mut planner = Planner {
            index: self.index,
            done: loaded.iter().map(|name| kernel_name(name)).collect(),
            plan: LoadPlan::default(),
        };
        for name in &self.index.load {
            planner.want("load", name);
        }
        for modalias in modaliases {
            for name in self.matching(modalias) {
                planner.want(modalias, name);
            }
        }
        planner.plan
    }
}

struct Planner<'a> {
    index: &'a ModuleIndex,
    done: BTreeSet<String>,
    plan: LoadPlan,
}

impl Planner<'_> {
    /// Marks a module done before it looks at what it needs, so that a circle ends.
    fn want(&mut self, wanted_by: &str, name: &str) {
        if !self.done.insert(kernel_name(name)) {
            return;
        }
        let module = self.index.modules.get(name).or_else(|| {
            let wanted = kernel_name(name);
            self.index.modules.iter().find(|(other, _)| kernel_name(other) == wanted).map(|(_, module)| module)
        });
        let Some((module, file)) = module.and_then(|module| Some((module, module.file.as_ref()?))) else {
            self.plan.missing.push((wanted_by.to_owned(), name.to_owned()));
            return;
        };
        for needed in &module.needs {
            self.want(wanted_by, needed);
        }
        self.plan.load.push((name.to_owned(), file.clone()));
    }
}

/// `/sys/module` and modules.alias write `_` where a file's name may have `-`.
fn kernel_name(name: &str) -> String {
    name.replace('-', "_")
}

/// Whether a device of this modalias is, or leads to, storage; a missing driver for another kind is no obstacle to booting.
pub fn concerns_storage(modalias: &str) -> bool {
    let Some((bus, rest)) = modalias.split_once(':') else { return false };
    match bus {
        // PCI classes: 01 mass storage, 0C03 USB controllers, 0C04 Fibre Channel.
        "pci" => ["bc01", "bc0Csc03", "bc0Csc04"].iter().any(|class| rest.contains(class)),
        // USB interface class 08: mass storage.
        "usb" => rest.contains("ic08"),
        // virtio device types 2 (block) and 8 (SCSI host).
        "virtio" => rest.starts_with("d00000002") || rest.starts_with("d00000008"),
        // A guest of Xen has cards and a console on that bus, too.
        "xen" => matches!(rest, "vbd" | "vscsi"),
        "scsi" | "nvme" | "mmc" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::initramfs::Module;

    fn index() -> ModuleIndex {
        let mut index = ModuleIndex::default();
        for (name, file, needs) in [
            ("ahci", true, "libahci libata scsi_mod"),
            ("libahci", true, "libata"),
            ("libata", true, "scsi_mod"),
            ("scsi_mod", true, "scsi_common"),
            ("scsi_common", true, ""),
            ("sd_mod", true, "scsi_mod"),
            ("usb-storage", true, "scsi_mod"),
            ("mpt3sas", false, "scsi_mod"),
            ("broken", true, "gone"),
            ("squashfs", true, ""),
        ] {
            let module = Module {
                file: file.then(|| format!("/lib/modules/{name}.ko")),
                needs: needs.split_whitespace().map(str::to_owned).collect(),
            };
            index.modules.insert(name.into(), module);
        }
        for (pattern, name) in [
            ("pci:v00001000d00000097sv*sd*bc*sc*i*", "mpt3sas"),
            ("pci:v*d*sv*sd*bc01sc06i01*", "ahci"),
            ("scsi:t-0x00*", "sd_mod"),
            ("usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*", "usb_storage"),
            ("acpi*:BROKEN:*", "broken"),
        ] {
            index.aliases.push((pattern.into(), name.into()));
        }
        index.load.push("squashfs".into());
        index
    }

    const AHCI: &str = "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01";

    fn names(plan: &LoadPlan) -> Vec<&str> {
        plan.load.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn loads_what_a_driver_needs_before_it_and_each_once() {
        let index = index();
        let plan = Modules::new(&index).plan([AHCI, "scsi:t-0x00", AHCI], &BTreeSet::new());
        assert_eq!(names(&plan), ["squashfs", "scsi_common", "scsi_mod", "libata", "libahci", "ahci", "sd_mod"]);
        assert_eq!(plan.missing, []);
        assert_eq!(plan.load[5].1, "/lib/modules/ahci.ko");
    }

    #[test]
    fn leaves_out_what_is_loaded() {
        let index = index();
        let loaded = ["squashfs", "scsi_mod", "scsi_common"].map(str::to_owned).into();
        let plan = Modules::new(&index).plan(["scsi:t-0x00"], &loaded);
        assert_eq!(names(&plan), ["sd_mod"]);
    }

    #[test]
    fn names_a_driver_that_the_initramfs_lacks() {
        let index = index();
        let sas = "pci:v00001000d00000097sv00001000sd00003090bc01sc07i00";
        let plan = Modules::new(&index).plan([sas, "acpi:BROKEN:"], &["squashfs".to_owned()].into());
        assert_eq!(
            plan.missing,
            [(sas.to_owned(), "mpt3sas".to_owned()), ("acpi:BROKEN:".to_owned(), "gone".to_owned())]
        );
    }

    #[test]
    fn finds_a_module_whose_file_is_spelt_with_a_hyphen() {
        let index = index();
        let plan = Modules::new(&index).plan(["usb:v0781p5567d0126dc00dsc00dp00ic08isc06ip50in00"], &BTreeSet::new());
        assert_eq!(plan.load.last().unwrap().1, "/lib/modules/usb-storage.ko");
    }

    #[test]
    fn a_circle_of_needs_ends() {
        let mut index = ModuleIndex::default();
        for (name, needs) in [("a", "b"), ("b", "a")] {
            index.modules.insert(name.into(), Module { file: Some(name.into()), needs: vec![needs.into()] });
        }
        index.load.push("a".into());
        assert_eq!(names(&Modules::new(&index).plan([], &BTreeSet::new())), ["b", "a"]);
    }

    #[test]
    fn tells_storage_from_the_rest() {
        assert!(concerns_storage(AHCI));
        assert!(concerns_storage("virtio:d00000002v00001AF4"));
        assert!(!concerns_storage("virtio:d00000001v00001AF4"));
        assert!(!concerns_storage("pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00"));
        assert!(concerns_storage("xen:vbd") && !concerns_storage("xen:vif"));
    }

    #[test]
    fn agrees_with_trying_every_pattern() {
        let index = index();
        let modules = Modules::new(&index);
        for modalias in [AHCI, "scsi:t-0x00", "acpi:BROKEN:", "pci:", "", "ä"] {
            let slow: Vec<&str> = index
                .aliases
                .iter()
                .filter(|(pattern, _)| fnmatch(pattern, modalias))
                .map(|(_, name)| name.as_str())
                .collect();
            assert_eq!(modules.matching(modalias), slow, "{modalias}");
        }
    }
}
