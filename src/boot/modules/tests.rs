use super::*;
use crate::tree::{Metadata, Node};
use appliance_contract::causes::WithCauses as _;

const VERSION: &str = "6.12.1-test";

const DEPENDENCIES: &str = "\
kernel/drivers/ata/libata.ko.xz: kernel/drivers/scsi/scsi_mod.ko.xz
kernel/drivers/ata/libahci.ko.xz: kernel/drivers/ata/libata.ko.xz kernel/drivers/scsi/scsi_mod.ko.xz
kernel/drivers/ata/ahci.ko.xz: kernel/drivers/ata/libahci.ko.xz kernel/drivers/ata/libata.ko.xz kernel/drivers/scsi/scsi_mod.ko.xz
kernel/drivers/scsi/scsi_mod.ko.xz:
kernel/drivers/scsi/lpfc/lpfc.ko.xz: kernel/drivers/scsi/scsi_mod.ko.xz
kernel/drivers/scsi/libfc/libfc.ko.xz: kernel/drivers/scsi/scsi_mod.ko.xz
kernel/drivers/block/loop.ko.xz:
kernel/drivers/md/dm-mod.ko.xz:
kernel/drivers/md/dm-verity.ko.xz: kernel/drivers/md/dm-mod.ko.xz
kernel/fs/squashfs/squashfs.ko.xz:
kernel/fs/overlayfs/overlay.ko.xz:
kernel/fs/ext4/ext4.ko.xz: kernel/lib/crc16.ko.xz
kernel/lib/crc16.ko.xz:
kernel/crypto/crc32c_generic.ko.xz:
kernel/arch/x86/crypto/crc32c-intel.ko.xz:
kernel/net/dns/dns_resolver.ko.xz:
";

const ALIASES: &str = "\
# Aliases extracted from modules themselves.
alias pci:v*d*sv*sd*bc01sc06i01* ahci
alias pci:v000010DFd0000F000sv*sd*bc*sc*i* lpfc
alias crypto-crc32c crc32c_generic
alias crypto-crc32c crc32c_intel
alias fs-ext4 ext4
alias block-major-7-* loop
";

fn modules() -> KernelModules {
    let mut modules = KernelModules::default();
    modules.parse_dependencies("modules.dep", DEPENDENCIES).unwrap();
    modules.parse_aliases(ALIASES);
    modules.parse_softdep("softdep ext4 pre: crypto-crc32c\nsoftdep ahci post: lpfc\n");
    modules.builtin.insert("nls_cp437".into());
    modules
}

fn choose(include: &[&str], exclude: &[&str]) -> Result<Choice, ModulesError> {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    modules().choose(&profile::Initramfs { include: own(include), exclude: own(exclude) }, VERSION)
}

#[test]
fn dependencies_come_in_the_order_of_loading() {
    let index = choose(&[], &[]).unwrap().index;
    assert_eq!(index.modules["ahci"].needs, ["scsi_mod", "libata", "libahci"]);
    assert_eq!(index.modules["ahci"].file.as_deref(), Some("/lib/modules/ahci.ko"));
    assert_eq!(index.modules["dm_verity"].needs, ["dm_mod"]);
}

#[test]
fn of_a_soft_dependency_the_generic_one_is_needed_and_all_are_there() {
    let index = choose(&[], &[]).unwrap().index;
    assert_eq!(index.modules["ext4"].needs, ["crc16", "crc32c_generic"]);
    assert!(index.modules["crc32c_intel"].file.is_some());
}

#[test]
fn what_is_left_out_is_named_with_its_aliases() {
    let index = choose(&[], &[]).unwrap().index;
    assert_eq!(index.modules["lpfc"], Module::default());
    assert!(index.aliases.contains(&("pci:v000010DFd0000F000sv*sd*bc*sc*i*".into(), "lpfc".into())));
    // No device asks for it, or it is no storage driver.
    assert!(!index.modules.contains_key("libfc"));
    assert!(!index.modules.contains_key("dns_resolver"));
    assert_eq!(ModuleIndex::parse(&index.render()), Ok(index));
}

#[test]
fn the_profile_widens_and_narrows() {
    let wide = choose(&["drivers/scsi/"], &[]).unwrap();
    assert!(wide.packed.contains(&("lpfc".into(), "drivers/scsi/lpfc/lpfc.ko.xz".into())));
    let named = choose(&["crc32c-intel"], &["ahci", "ext4"]).unwrap();
    assert!(!named.packed.iter().any(|(name, _)| name == "ahci" || name == "libahci" || name == "ext4"));
    assert!(named.index.modules["ahci"].file.is_none());
    assert!(!named.index.load.contains(&"ext4".to_owned()));
    assert!(choose(&["nls-cp437"], &[]).is_ok());
}

#[test]
fn refuses_names_that_the_kernel_does_not_have() {
    let error = choose(&["lpcf"], &[]).unwrap_err();
    assert_eq!(
        error.with_causes(),
        "initramfs.include names \"lpcf\", which kernel 6.12.1-test does not have; did you mean \"lpfc\"?"
    );
    assert!(matches!(choose(&[], &["drivers/nothing/"]), Err(ModulesError::Unknown { key: "exclude", .. })));
    assert!(matches!(choose(&[], &["dm-verity"]), Err(ModulesError::Required { .. })));
    assert!(matches!(choose(&[], &["drivers/md/"]), Err(ModulesError::Required { .. })));
}

#[test]
fn what_was_pruned_is_not_packed_nor_what_needs_it() {
    let mut modules = modules();
    modules.leave_out_pruned(|below| below != "drivers/ata/libata.ko.xz").unwrap();
    let choice = modules.choose(&profile::Initramfs::default(), VERSION).unwrap();
    let names: Vec<&str> = choice.packed.iter().map(|(name, _)| name.as_str()).collect();
    assert!(!names.contains(&"ahci") && !names.contains(&"libata") && names.contains(&"ext4"), "{names:?}");
    let error = modules.leave_out_pruned(|below| below != "drivers/md/dm-mod.ko.xz").unwrap_err();
    assert!(matches!(error, ModulesError::Pruned { .. }), "{error}");
}

#[test]
fn refuses_a_line_without_a_colon() {
    let error = KernelModules::default().parse_dependencies("modules.dep", "a.ko:\nb.ko\n").unwrap_err();
    assert!(matches!(error, ModulesError::Line { line: 2, .. }));
}

#[test]
fn modules_are_unpacked_whatever_they_are_packed_with() {
    let elf = b"\x7fELF and more, then a signature".to_vec();
    let mut tree = Tree::new(Metadata::new(0o755));
    let mut put = |below: &str, bytes: Vec<u8>| {
        let path = TreePath::parse(format!("/usr/lib/modules/{VERSION}/kernel/{below}")).unwrap();
        tree.insert(&path, Node::file(Metadata::new(0o644), bytes.into())).unwrap();
    };
    let mut xz = Vec::new();
    liblzma::read::XzEncoder::new(elf.as_slice(), 6).read_to_end(&mut xz).unwrap();
    let mut gz = Vec::new();
    flate2::read::GzEncoder::new(elf.as_slice(), flate2::Compression::best()).read_to_end(&mut gz).unwrap();
    put("a.ko", elf.clone());
    put("b.ko.xz", xz);
    put("c.ko.zst", zstd::encode_all(elf.as_slice(), 3).unwrap());
    put("d.ko.gz", gz);
    put("e.ko", b"#!/bin/sh".to_vec());
    put("f.ko.lz4", elf.clone());
    let read = |below| {
        let known = module(&tree, VERSION, below)?.fingerprint().unwrap();
        read_module(&tree, VERSION, below, &known)
    };
    for below in ["a.ko", "b.ko.xz", "c.ko.zst", "d.ko.gz"] {
        assert_eq!(read(below).unwrap(), elf, "{below}");
    }
    assert!(matches!(read("e.ko"), Err(ModulesError::NotElf { .. })));
    assert!(matches!(read("f.ko.lz4"), Err(ModulesError::Ending { .. })));
    assert!(matches!(read("g.ko"), Err(ModulesError::Missing { .. })));
    let before = crate::tree::Fingerprint::of(&b"before"[..]).unwrap();
    assert!(matches!(read_module(&tree, VERSION, "a.ko", &before), Err(ModulesError::Changed { .. })));
}
