//! Which bytes of which devices a disk stands for, so that one disk is known
//! under whatever names lead to it.
//!
//! A path leads to a device or a file; a partition is a part of its disk, a
//! mapped device or an array lies on others, a loop device on a file. Two disks
//! meet where they share bytes on any of these levels.

use crate::system::world::World;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What bytes lie on in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Base {
    /// A block device.
    Device {
        /// Major number.
        major: u64,
        /// Minor number.
        minor: u64,
    },
    /// A regular file.
    File {
        /// The file system's device number.
        device: u64,
        /// The file's inode.
        inode: u64,
    },
}

/// Bytes on a device or in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    /// What the bytes lie on.
    pub base: Base,
    /// First byte.
    pub start: u64,
    /// `u64::MAX` where the end is not known.
    pub end: u64,
    /// Somewhere in it: LVM gives no two volumes the same bytes.
    pub lvm: bool,
}

/// A disk by all levels that it lies on; the first is the disk itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The disk itself first, then all that it lies on.
    pub extents: Vec<Extent>,
}

impl Base {
    /// Whether it is a block device.
    pub fn is_device(self) -> bool {
        matches!(self, Self::Device { .. })
    }
}

impl Extent {
    fn meets(&self, other: &Self) -> bool {
        self.base == other.base && self.start < other.end && other.start < self.end && !(self.lvm && other.lvm)
    }
}

impl Disk {
    /// Whether two disks have bytes in common.
    pub fn meets(&self, other: &Self) -> bool {
        self.extents.iter().any(|extent| other.extents.iter().any(|one| extent.meets(one)))
    }

    /// What the disk itself is, before all that it lies on.
    pub fn base(&self) -> Option<Base> {
        self.extents.first().map(|extent| extent.base)
    }

    /// Whether `base` is the disk itself or something that it lies on.
    pub fn lies_on(&self, base: Base) -> bool {
        self.extents.iter().any(|extent| extent.base == base)
    }
}

/// The disk that a path leads to.
pub fn at_path(world: &World<'_>, path: &Path) -> io::Result<Disk> {
    let stat = fs::metadata(world.at(path))?;
    let kind = stat.file_type();
    if kind.is_block_device() {
        let device = stat.rdev();
        return Ok(of_device(world, nix::libc::major(device).into(), nix::libc::minor(device).into()));
    }
    if kind.is_file() {
        let base = Base::File { device: stat.dev(), inode: stat.ino() };
        return Ok(Disk { extents: vec![Extent { base, start: 0, end: u64::MAX, lvm: false }] });
    }
    Err(io::Error::other("it is neither a block device nor a file"))
}

/// The disk of a device by its number.
pub fn of_device(world: &World<'_>, major: u64, minor: u64) -> Disk {
    let mut levels = Levels { world, extents: Vec::new(), seen: BTreeSet::new() };
    let base = Base::Device { major, minor };
    levels.add(Extent { base, start: 0, end: u64::MAX, lvm: false });
    Disk { extents: levels.extents }
}

/// A device's number in `/sys`: `8:1`.
pub fn parse_number(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

struct Levels<'a> {
    world: &'a World<'a>,
    extents: Vec<Extent>,
    seen: BTreeSet<Extent>,
}

impl Levels<'_> {
    fn add(&mut self, extent: Extent) {
        if !self.seen.insert(extent) {
            return;
        }
        self.extents.push(extent);
        let Base::Device { major, minor } = extent.base else { return };
        let Ok(folder) = fs::canonicalize(self.world.at(format!("/sys/dev/block/{major}:{minor}"))) else { return };
        self.partition(&folder, extent);
        self.slaves(&folder, extent);
        self.loop_device(&folder, extent);
    }

    fn partition(&mut self, folder: &Path, extent: Extent) {
        if !folder.join("partition").exists() {
            return;
        }
        let (Some(start), Some(size)) = (sectors(folder, "start"), sectors(folder, "size")) else { return };
        let Some(disk) = folder.parent().and_then(device_in) else { return };
        self.add(within(extent, disk, start, size));
    }

    /// What a mapped device or an array lies on. Where in it is not said, so all of it counts.
    fn slaves(&mut self, folder: &Path, extent: Extent) {
        let uuid = fs::read_to_string(folder.join("dm/uuid")).unwrap_or_default();
        let lvm = extent.lvm || uuid.starts_with("LVM-");
        let mut slaves: Vec<PathBuf> =
            fs::read_dir(folder.join("slaves")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        slaves.sort();
        for base in slaves.iter().filter_map(|slave| device_in(slave)) {
            self.add(Extent { base, start: 0, end: u64::MAX, lvm });
        }
    }

    fn loop_device(&mut self, folder: &Path, extent: Extent) {
        let value = |name: &str| fs::read_to_string(folder.join("loop").join(name)).ok();
        let Some(backing) = value("backing_file") else { return };
        // The kernel says so of a file that has no name any more.
        let backing = backing.trim_end_matches('\n').trim_end_matches(" (deleted)");
        let Ok(below) = at_path(self.world, Path::new(backing)) else { return };
        let number = |name| value(name).and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
        let (start, limit) = (number("offset"), number("sizelimit"));
        let size = if limit == 0 { u64::MAX - start } else { limit };
        if let Some(base) = below.base() {
            self.add(within(extent, base, start, size));
        }
    }
}

/// Where an extent of a part lies in the whole that the part is `start` to `start + size` of.
fn within(extent: Extent, base: Base, start: u64, size: u64) -> Extent {
    let end = start.saturating_add(size);
    Extent {
        base,
        start: start.saturating_add(extent.start).min(end),
        end: start.saturating_add(extent.end).min(end),
        lvm: extent.lvm,
    }
}

fn sectors(folder: &Path, name: &str) -> Option<u64> {
    let count: u64 = fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()?;
    count.checked_mul(512)
}

fn device_in(folder: &Path) -> Option<Base> {
    let (major, minor) = parse_number(&fs::read_to_string(folder.join("dev")).ok()?)?;
    Some(Base::Device { major, minor })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::guests::tests::Node;
    use std::os::unix::fs::symlink;

    /// A made-up `/sys`: sda with two partitions, a volume group on the first with
    /// two volumes, an array of sdb and sdc, a loop device on a file.
    pub fn machine(node: &Node) {
        let device = |path: &str, number: &str| {
            node.file(&format!("/sys/devices/{path}/dev"), format!("{number}\n").as_bytes());
            fs::create_dir_all(node.at("/sys/dev/block")).unwrap();
            symlink(node.at(&format!("/sys/devices/{path}")), node.at(&format!("/sys/dev/block/{number}"))).unwrap();
            let name = path.rsplit('/').next().unwrap();
            fs::create_dir_all(node.at("/sys/class/block")).unwrap();
            symlink(node.at(&format!("/sys/devices/{path}")), node.at(&format!("/sys/class/block/{name}"))).unwrap();
        };
        let value = |path: &str, text: &str| node.file(&format!("/sys/devices/{path}"), text.as_bytes());
        let slave = |upper: &str, lower: &str| {
            let name = lower.rsplit('/').next().unwrap();
            fs::create_dir_all(node.at(&format!("/sys/devices/{upper}/slaves"))).unwrap();
            let link = node.at(&format!("/sys/devices/{upper}/slaves/{name}"));
            symlink(node.at(&format!("/sys/devices/{lower}")), link).unwrap();
        };
        for (name, number) in [("sda", "8:0"), ("sdb", "8:16"), ("sdc", "8:32")] {
            device(name, number);
        }
        for (name, number, index, start, size) in
            [("sda1", "8:1", "1", "2048", "1000"), ("sda2", "8:2", "2", "3048", "1000")]
        {
            device(&format!("sda/{name}"), number);
            value(&format!("sda/{name}/partition"), index);
            value(&format!("sda/{name}/start"), start);
            value(&format!("sda/{name}/size"), size);
        }
        for (name, number) in [("dm-0", "253:0"), ("dm-1", "253:1")] {
            device(name, number);
            value(&format!("{name}/dm/uuid"), "LVM-abc\n");
            slave(name, "sda/sda1");
        }
        device("md0", "9:0");
        slave("md0", "sdb");
        slave("md0", "sdc");
        device("loop0", "7:0");
        value("loop0/loop/backing_file", "/data/disk.img\n");
        value("loop0/loop/offset", "0\n");
        value("loop0/loop/sizelimit", "0\n");
        node.file("/data/disk.img", b"x");
    }

    fn disk(node: &Node, number: &str) -> Disk {
        let (major, minor) = parse_number(number).unwrap();
        of_device(&node.world(), major, minor)
    }

    #[test]
    fn disks_that_share_bytes_meet_and_others_do_not() {
        let node = Node::new();
        machine(&node);
        let meet = |a: &str, b: &str| {
            let (a, b) = (disk(&node, a), disk(&node, b));
            assert_eq!(a.meets(&b), b.meets(&a));
            a.meets(&b)
        };
        let (sda, sda1, sda2, first, second, md, sdb, sdc) =
            ("8:0", "8:1", "8:2", "253:0", "253:1", "9:0", "8:16", "8:32");
        for same in [sda, sda1, first, md] {
            assert!(meet(same, same));
        }
        // A partition and its whole disk; a volume and what its group lies on; a mirror and its halves.
        assert!(meet(sda, sda1) && meet(first, sda1) && meet(first, sda) && meet(md, sdb) && meet(md, sdc));
        // Neighbours on the same disk, volumes of one group, halves of a mirror.
        assert!(!meet(sda1, sda2) && !meet(first, second) && !meet(first, sda2) && !meet(sdb, sdc) && !meet(sda, sdb));
    }

    #[test]
    fn a_file_is_known_by_whatever_name_and_by_its_loop_device() {
        let node = Node::new();
        machine(&node);
        fs::hard_link(node.at("/data/disk.img"), node.at("/data/other.img")).unwrap();
        symlink("other.img", node.at("/data/link.img")).unwrap();
        node.file("/data/third.img", b"x");
        let world = node.world();
        let file = at_path(&world, Path::new("/data/disk.img")).unwrap();
        for other in ["/data/other.img", "/data/link.img"] {
            assert!(file.meets(&at_path(&world, Path::new(other)).unwrap()), "{other}");
        }
        assert!(file.meets(&disk(&node, "7:0")));
        assert!(!file.meets(&at_path(&world, Path::new("/data/third.img")).unwrap()));
        assert!(at_path(&world, Path::new("/data")).is_err());
    }

    #[test]
    fn loop_devices_on_one_file_meet_where_they_overlap() {
        let node = Node::new();
        machine(&node);
        for (number, offset, size) in [("7:1", "0", "4096"), ("7:2", "4096", "4096"), ("7:3", "4095", "2")] {
            let folder = format!("/sys/dev/block/{number}");
            node.file(&format!("{folder}/dev"), number.as_bytes());
            node.file(&format!("{folder}/loop/backing_file"), b"/data/disk.img\n");
            node.file(&format!("{folder}/loop/offset"), offset.as_bytes());
            node.file(&format!("{folder}/loop/sizelimit"), size.as_bytes());
        }
        assert!(!disk(&node, "7:1").meets(&disk(&node, "7:2")));
        assert!(disk(&node, "7:1").meets(&disk(&node, "7:3")));
        assert!(disk(&node, "7:0").meets(&disk(&node, "7:2")));
    }
}
