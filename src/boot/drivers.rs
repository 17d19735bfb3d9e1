//! Which drivers an initramfs carries unless the profile says otherwise: what
//! it takes to reach a disk, stick or disc, and the file systems on it.

/// Without these the agent cannot open a root image; a profile cannot leave them out.
pub const REQUIRED: &[&str] = &["loop", "dm_mod", "dm_verity", "squashfs", "overlay"];

/// Loaded whatever the machine has, in this order; those that the kernel has
/// built in, or does not know, are passed over.
pub const LOAD: &[&str] = &[
    // ext4, XFS, btrfs and libcrc32c ask for it by an alias that nothing resolves this early.
    "crc32c_generic",
    "loop",
    "dm_mod",
    "dm_verity",
    "squashfs",
    "overlay",
    "sd_mod",
    "sr_mod",
    // FAT does not mount without the tables of its default code page and character set.
    "nls_cp437",
    "nls_ascii",
    "nls_iso8859_1",
    "nls_utf8",
    "vfat",
    "isofs",
    "ext4",
];

/// Modules by name; folders of the kernel's tree end in a slash.
pub const STANDARD: &[&str] = &[
    // SATA and what is left of parallel ATA in servers and virtual machines.
    "ahci",
    "acard_ahci",
    "ata_piix",
    "ata_generic",
    "sata_mv",
    "sata_nv",
    "sata_sil",
    "sata_sil24",
    "sata_svw",
    "sata_via",
    "sata_promise",
    "pata_amd",
    "pata_jmicron",
    "pata_marvell",
    "nvme",
    // Intel's volume management device: NVMe behind it is invisible without.
    "vmd",
    "sd_mod",
    "sr_mod",
    "usb_storage",
    "uas",
    "xhci_pci",
    "xhci_pci_renesas",
    "ehci_pci",
    "ohci_pci",
    "uhci_hcd",
    // A keyboard for the shell.
    "usbhid",
    "hid_generic",
    "atkbd",
    "i8042",
    "virtio_pci",
    "virtio_mmio",
    "virtio_blk",
    "virtio_scsi",
    "xen_blkfront",
    "hv_vmbus",
    "hv_storvsc",
    "hyperv_keyboard",
    "vmw_pvscsi",
    "nd_pmem",
    "nd_e820",
    // Host bus adapters of servers.
    "megaraid_sas",
    "mpt3sas",
    "mpi3mr",
    "mptsas",
    "mptspi",
    "hpsa",
    "aacraid",
    "smartpqi",
    "isci",
    "arcmsr",
    "mvsas",
    "pm80xx",
    // Cards.
    "sdhci_pci",
    "sdhci_acpi",
    "mmc_block",
    "crc32c_intel",
    "sha256_generic",
    "sha256_ssse3",
    "btrfs",
    "xfs",
];

/// Drivers below these folders are named by the agent when the machine has a
/// device for one that the initramfs does not carry.
pub const STORAGE: &[&str] = &[
    "drivers/ata/",
    "drivers/block/",
    "drivers/firewire/",
    "drivers/hv/",
    "drivers/message/",
    "drivers/mmc/",
    "drivers/memstick/",
    "drivers/nvdimm/",
    "drivers/nvme/",
    "drivers/pci/controller/",
    "drivers/scsi/",
    "drivers/ufs/",
    "drivers/usb/host/",
    "drivers/usb/storage/",
    "drivers/virtio/",
    "drivers/xen/",
];
