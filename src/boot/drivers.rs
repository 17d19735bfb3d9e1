//! The default drivers of an initramfs: those needed to reach a disk, USB stick or CD, and the file systems on it.

/// Without these the agent cannot open a root image; a profile cannot leave them out.
pub const REQUIRED: &[&str] = &["loop", "dm_mod", "dm_verity", "squashfs", "overlay"];

/// Modules loaded on every machine, in this order. Modules that the kernel has built in, or does not have, are skipped.
pub const LOAD: &[&str] = &[
    // ext4, XFS, btrfs and libcrc32c request it by an alias, which nothing resolves this early.
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

/// Modules by name; a directory of the kernel's tree ends in a slash.
pub const STANDARD: &[&str] = &[
    // SATA, and the parallel ATA that servers and virtual machines still have.
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
    // Intel's volume management device: NVMe drives behind it are not visible without its driver.
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
    // SD and MMC cards.
    "sdhci_pci",
    "sdhci_acpi",
    "mmc_block",
    "crc32c_intel",
    "sha256_generic",
    "sha256_ssse3",
    "btrfs",
    "xfs",
];

/// Directories of storage drivers. If the machine has a device for one of these drivers and the initramfs lacks it, the
/// agent names the driver.
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
