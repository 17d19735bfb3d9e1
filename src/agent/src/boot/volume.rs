//! Mounting file systems that are not ours: with the options that keep a look from writing.

use super::Boot;
use crate::system::machine::{Mount, MountFlags};
use appliance_shared::probe::FileSystemKind;
use std::io;
use std::path::Path;

/// Options for a look that leaves the device as it is. A dirty journal is not
/// replayed; ext4 could otherwise be told by its superblock to panic at damage.
pub fn look_options(kind: FileSystemKind) -> &'static str {
    match kind {
        FileSystemKind::Ext4 => "noload,errors=continue",
        FileSystemKind::Xfs => "norecovery",
        FileSystemKind::Btrfs => "rescue=nologreplay",
        // FAT keeps no modes; links from /etc lead here, so everybody must be able to read.
        FileSystemKind::Fat => "umask=0022",
        _ => "",
    }
}

/// The kernel's modules for a file system, in the order of need.
pub fn modules(kind: FileSystemKind) -> &'static [&'static str] {
    match kind {
        // The checksum is asked for by name at run time: no dependency shows it.
        FileSystemKind::Ext4 => &["crc32c_generic", "ext4"],
        FileSystemKind::Xfs => &["crc32c_generic", "xfs"],
        FileSystemKind::Btrfs => &["crc32c_generic", "btrfs"],
        FileSystemKind::Fat => &["nls_cp437", "nls_ascii", "vfat"],
        FileSystemKind::Iso9660 => &["isofs"],
        FileSystemKind::Squashfs => &["squashfs"],
        FileSystemKind::F2fs => &["crc32_generic", "f2fs"],
        FileSystemKind::Erofs => &["crc32c_generic", "erofs"],
        FileSystemKind::Exfat => &["exfat"],
        FileSystemKind::Ntfs => &["ntfs3"],
        FileSystemKind::Udf => &["udf"],
        FileSystemKind::Bcachefs => &["bcachefs"],
    }
}

impl Boot<'_> {
    /// Mounts `device` so that nothing is written to it. The caller has set it read-only.
    pub(super) fn mount_for_look(&mut self, device: &Path, kind: FileSystemKind, target: &Path) -> io::Result<()> {
        self.load_named(modules(kind));
        let flags = MountFlags { read_only: true, ..MountFlags::DATA };
        let source = device.to_string_lossy();
        let mount = Mount { source: &source, target, kind: kind.name(), flags, options: look_options(kind) };
        self.machine.mount(&mount)
    }

    /// Mounts a tmpfs; `size` is tmpfs(5)'s.
    pub(super) fn mount_memory(&self, target: &Path, size: &str) -> io::Result<()> {
        let options = format!("mode=0755,size={size}");
        let flags = MountFlags { no_suid: true, ..MountFlags::default() };
        self.machine.mount(&Mount { source: "appliance", target, kind: "tmpfs", flags, options: &options })
    }
}
