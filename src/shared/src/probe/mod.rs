//! What a block device holds, by its superblocks, read only.
//!
//! A device that belongs to something else (an array, a volume group, an
//! encrypted volume) is a [`Member`] even where a file system shows too: md
//! with metadata at the end and stale superblocks look like that, and opening
//! one half of a mirror would be wrong.

mod bcache;
mod btrfs;
mod drbd;
mod encrypted;
mod ext4;
mod fat;
mod foreign;
mod iso9660;
mod lvm;
mod partition_table;
mod raid;
mod squashfs;
mod swap;
mod view;
mod xfs;
mod zfs;

pub use iso9660::uuid as iso9660_uuid;

use crate::read_at::ReadAt;
use std::fmt;
use std::io;
use view::View;

/// What a device holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// A file system.
    FileSystem(FileSystem),
    /// A part of something else.
    Member(Member),
    /// Partitions.
    PartitionTable,
    /// Every byte that was looked at is zero.
    Empty,
    /// Nothing that is known here.
    Unknown,
}

/// A file system by its superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// Its kind.
    pub kind: FileSystemKind,
    /// In blkid's spelling.
    pub uuid: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// A journal or log waits to be replayed, as far as the superblock tells (XFS's does not).
    pub needs_recovery: bool,
}

/// The kinds of file systems that are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileSystemKind {
    /// ext2 and ext3 too: the ext4 driver mounts them.
    Ext4,
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
    /// ISO 9660.
    Iso9660,
    /// squashfs.
    Squashfs,
    /// exFAT.
    Exfat,
    /// NTFS.
    Ntfs,
    /// F2FS.
    F2fs,
    /// EROFS.
    Erofs,
    /// UDF.
    Udf,
    /// bcachefs.
    Bcachefs,
}

impl FileSystemKind {
    /// The kernel's name, as mount(2) wants it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Fat => "vfat",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Iso9660 => "iso9660",
            Self::Squashfs => "squashfs",
            Self::Exfat => "exfat",
            Self::Ntfs => "ntfs",
            Self::F2fs => "f2fs",
            Self::Erofs => "erofs",
            Self::Udf => "udf",
            Self::Bcachefs => "bcachefs",
        }
    }

    /// Whether a config partition may be of this kind.
    pub fn may_hold_config(self) -> bool {
        matches!(self, Self::Ext4 | Self::Fat | Self::Xfs | Self::Btrfs | Self::Iso9660)
    }

    /// Whether files keep their modes on it.
    pub fn has_modes(self) -> bool {
        self != Self::Fat
    }
}

impl fmt::Display for FileSystemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a device is a part of, or used for by something that is no file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// A physical volume of LVM.
    Lvm,
    /// Linux md; the text is its metadata's version: `0.90`, `1.0`, `1.1`, `1.2`, or `imsm`, `ddf`.
    Raid(&'static str),
    /// A volume encrypted with LUKS.
    Luks,
    /// A volume encrypted with BitLocker.
    BitLocker,
    /// A swap space.
    Swap,
    /// A device of bcache.
    Bcache,
    /// A device of a ZFS pool.
    Zfs,
    /// A device of DRBD.
    Drbd,
    /// One of several devices of a btrfs.
    Btrfs {
        /// How many devices the file system has.
        devices: u64,
    },
    /// A journal of another ext4 file system.
    ExtJournal,
    /// A device of dm-integrity.
    DmIntegrity,
    /// A hash tree of dm-verity.
    DmVerity,
    /// A store of dm-snapshot.
    DmSnapshot,
    /// A device of Ceph's BlueStore.
    CephBluestore,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lvm => f.write_str("a physical volume of LVM"),
            Self::Raid(version) => write!(f, "a member of an array (md metadata {version})"),
            Self::Luks => f.write_str("an encrypted volume (LUKS)"),
            Self::BitLocker => f.write_str("an encrypted volume (BitLocker)"),
            Self::Swap => f.write_str("swap space"),
            Self::Bcache => f.write_str("a part of a bcache"),
            Self::Zfs => f.write_str("a member of a ZFS pool"),
            Self::Drbd => f.write_str("the lower device of a DRBD volume"),
            Self::Btrfs { devices } => write!(f, "one of {devices} devices of a btrfs"),
            Self::ExtJournal => f.write_str("the external journal of another file system"),
            Self::DmIntegrity => f.write_str("a dm-integrity volume"),
            Self::DmVerity => f.write_str("a dm-verity hash tree"),
            Self::DmSnapshot => f.write_str("the store of a dm snapshot"),
            Self::CephBluestore => f.write_str("a Ceph BlueStore device"),
        }
    }
}

/// Tells what `device` holds. Garbage is [`Contents::Unknown`]; an error means that it could not be read.
pub fn probe(device: &dyn ReadAt) -> io::Result<Contents> {
    let view = View::new(device)?;
    if let Some(member) = member(&view)? {
        return Ok(Contents::Member(member));
    }
    if let Some(found) = fat::file_system(&view)? {
        return Ok(Contents::FileSystem(found));
    }
    // A hybrid ISO has a partition table in front. Without one, whatever else shows
    // was written over an ISO of old: writing an ISO leaves nothing of what was before.
    if partition_table::present(&view) {
        let volume = iso9660::file_system(&view)?;
        return Ok(volume.map_or(Contents::PartitionTable, Contents::FileSystem));
    }
    if let Some(found) = file_system(&view)? {
        return Ok(found);
    }
    Ok(if view.is_zero() { Contents::Empty } else { Contents::Unknown })
}

fn member(view: &View) -> io::Result<Option<Member>> {
    for probe in
        [lvm::member, encrypted::member, swap::member, bcache::member, drbd::member, foreign::member, zfs::member]
    {
        if let Some(member) = probe(view)? {
            return Ok(Some(member));
        }
    }
    raid::member(view)
}

fn file_system(view: &View) -> io::Result<Option<Contents>> {
    for probe in [ext4::contents, btrfs::contents] {
        if let Some(found) = probe(view)? {
            return Ok(Some(found));
        }
    }
    for probe in [xfs::file_system, squashfs::file_system, foreign::file_system, iso9660::file_system] {
        if let Some(found) = probe(view)? {
            return Ok(Some(Contents::FileSystem(found)));
        }
    }
    Ok(None)
}

/// A UUID in RFC 9562's textual form; `None` for the one of zeros, which means "not set".
fn uuid(bytes: &[u8]) -> Option<String> {
    if bytes.len() != 16 || bytes.iter().all(|&byte| byte == 0) {
        return None;
    }
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text += &format!("{byte:02x}");
    }
    Some(text)
}

/// A fixed-size label: up to the first NUL, without blanks at the end.
pub fn label(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
