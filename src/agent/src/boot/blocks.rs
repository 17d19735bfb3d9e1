//! The block devices that `/sys` shows, and what a read-only look at each finds.

use super::devices::is_virtual;
use crate::system::device_order;
use crate::system::files;
use crate::system::machine::Places;
use crate::system::sys;
use appliance_shared::gpt;
use appliance_shared::probe::{Contents, FileSystem, probe};
use nix::fcntl::OFlag;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Name below `/dev`.
    pub name: String,
    pub node: PathBuf,
    /// The disk that this is a partition of, and its number on it.
    pub partition: Option<(String, u32)>,
    /// The medium or the whole drive can be taken out: CDs, sticks, all of USB.
    pub removable: bool,
    pub bytes: u64,
    /// What is stacked upon it.
    pub holders: Vec<String>,
    /// Where it is mounted.
    pub mounted: Option<String>,
}

/// What is on a device, by reading it.
#[derive(Debug, Clone)]
pub struct Look {
    pub contents: Result<Contents, String>,
    pub partition_type: Option<String>,
    pub partition_uuid: Option<String>,
    pub partition_label: Option<String>,
}

/// A look at all devices at one time; the lists match.
#[derive(Debug)]
pub struct Survey {
    pub blocks: Vec<Block>,
    pub looks: Vec<Look>,
}

impl Survey {
    pub fn take(places: &Places) -> Self {
        let blocks = list(places);
        let looks = look(&blocks);
        Self { blocks, looks }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Block, &Look)> {
        self.blocks.iter().zip(&self.looks)
    }

    /// A line for every device; other lines mean that something changed.
    pub fn describe(&self) -> Vec<String> {
        self.iter().map(|(block, look)| describe(block, look)).collect()
    }
}

impl Block {
    /// Opens the device for reading; a CD drive only when a disc is in it.
    pub fn open(&self) -> io::Result<File> {
        // Asked with O_NONBLOCK first: without, an open tray would be drawn in, and with it alone
        // an empty drive opens and every read is an error in the kernel's log.
        let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(&self.node)?;
        if !self.name.starts_with("sr") {
            return Ok(file);
        }
        if sys::drive_is_empty(&file) {
            return Err(nix::errno::Errno::ENOMEDIUM.into());
        }
        File::open(&self.node)
    }

    /// What else uses it, in words.
    pub fn in_use(&self) -> Option<String> {
        if let Some(place) = &self.mounted {
            return Some(format!("mounted at {place}"));
        }
        (!self.holders.is_empty()).then(|| format!("held by {}", self.holders.join(", ")))
    }

    pub fn disk(&self) -> &str {
        self.partition.as_ref().map_or(&self.name, |(disk, _)| disk)
    }
}

impl Look {
    pub fn file_system(&self) -> Option<&FileSystem> {
        match &self.contents {
            Ok(Contents::FileSystem(found)) => Some(found),
            _ => None,
        }
    }
}

fn value(path: PathBuf) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim_end().to_owned())
}

/// All block devices that may be storage of the machine: whole disks before
/// their partitions, in natural order.
pub fn list(places: &Places) -> Vec<Block> {
    let classes = places.sys.join("class/block");
    let mounts = fs::read_to_string(places.proc.join("self/mountinfo")).unwrap_or_default();
    let mut blocks: Vec<Block> = files::names(&classes)
        .into_iter()
        .filter(|name| !is_virtual(name))
        .filter_map(|name| block(places, &mounts, &classes, &name))
        .collect();
    blocks.sort_by(|a, b| device_order::compare(&a.name, &b.name));
    blocks
}

/// The mount point of a device by proc_pid_mountinfo(5): its third field is the
/// device's number (btrfs has one of its own there), the second after `-` its name.
fn mounted_at(mounts: &str, number: Option<&str>, node: &Path) -> Option<String> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(2);
        let found = fields.next()?;
        let place = fields.nth(1)?;
        let source = line.split_once(" - ")?.1.split(' ').nth(1)?;
        (Some(found) == number || Path::new(source) == node).then(|| place.to_owned())
    })
}

fn block(places: &Places, mounts: &str, folder: &Path, sysfs_name: &str) -> Option<Block> {
    let link = folder.join(sysfs_name);
    let real = fs::canonicalize(&link).ok()?;
    // The kernel writes `!` for `/` in names such as cciss/c0d0.
    let name = sysfs_name.replace('!', "/");
    let number = value(link.join("partition")).and_then(|number| number.parse().ok());
    let (partition, disk) = match number {
        Some(number) => {
            let disk = real.parent()?.to_owned();
            (Some((disk.file_name()?.to_str()?.replace('!', "/"), number)), disk)
        }
        None => (None, real.clone()),
    };
    // A USB disk with a removable = 0 can be pulled out all the same.
    let usb = real.components().any(|part| part.as_os_str().to_str().is_some_and(|part| part.starts_with("usb")));
    let removable = usb || value(disk.join("removable")).as_deref() == Some("1");
    let sectors: u64 = value(link.join("size")).and_then(|size| size.parse().ok()).unwrap_or(0);
    let holders = files::names(&link.join("holders"));
    let mounted = mounted_at(mounts, value(link.join("dev")).as_deref(), &places.dev.join(&name));
    Some(Block { node: places.dev.join(&name), name, partition, removable, bytes: sectors * 512, holders, mounted })
}

/// Looks at each of `blocks`.
fn look(blocks: &[Block]) -> Vec<Look> {
    blocks
        .iter()
        .map(|block| {
            let contents = block.open().and_then(|file| probe(&file)).map_err(|error| error.to_string());
            let entry = block.partition.as_ref().and_then(|(disk, number)| {
                let disk = blocks.iter().find(|other| other.name == *disk)?.open().ok()?;
                gpt::partitions(&disk).ok()??.into_iter().find(|entry| entry.number == *number)
            });
            let (partition_type, partition_uuid, partition_label) = match entry {
                Some(entry) => (Some(entry.type_guid), Some(entry.guid), Some(entry.name)),
                None => (None, None, None),
            };
            Look { contents, partition_type, partition_uuid, partition_label }
        })
        .collect()
}

/// A line for every device there is.
pub fn describe_all(places: &Places) -> Vec<String> {
    Survey::take(places).describe()
}

/// For a message: the device, how large it is, and what was found on it.
fn describe(block: &Block, look: &Look) -> String {
    let found = match &look.contents {
        Err(error) => format!("cannot be read: {error}"),
        Ok(contents) => describe_contents(contents),
    };
    let mut text = format!("/dev/{}: {} MiB, {found}", block.name, block.bytes >> 20);
    for (key, value) in [("partition", &look.partition_label), ("in use:", &block.in_use())] {
        if let Some(value) = value {
            text = text + ", " + key + " " + value;
        }
    }
    text
}

/// For a message: what was found on a device.
pub fn describe_contents(contents: &Contents) -> String {
    match contents {
        Contents::FileSystem(found) => {
            let mut text = found.kind.to_string();
            for (key, value) in [("UUID", &found.uuid), ("label", &found.label)] {
                if let Some(value) = value {
                    text += &format!(", {key} {value}");
                }
            }
            text
        }
        Contents::Member(member) => member.to_string(),
        Contents::PartitionTable => "a partition table".to_owned(),
        Contents::Empty => "empty".to_owned(),
        Contents::Unknown => "nothing known".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::tests::World;

    #[test]
    fn lists_disks_and_their_partitions_in_natural_order() {
        let world = World::new();
        world.disk("sdb", &[], b"");
        world.disk("sda", &["sda10", "sda2"], b"");
        world.disk("loop0", &[], b"");
        world.disk("cciss!c0d0", &[], b"");
        let blocks = list(&world.places());
        let names: Vec<&str> = blocks.iter().map(|block| block.name.as_str()).collect();
        assert_eq!(names, ["cciss/c0d0", "sda", "sda2", "sda10", "sdb"]);
        assert_eq!(blocks[3].partition, Some(("sda".to_owned(), 10)));
        assert_eq!(blocks[3].disk(), "sda");
    }

    #[test]
    fn a_device_that_cannot_be_read_is_described_not_skipped() {
        let world = World::new();
        world.disk("sda", &[], &[0; 4096]);
        world.disk("sr0", &[], b"");
        std::fs::remove_file(world.places().dev.join("sr0")).unwrap();
        let lines = describe_all(&world.places());
        assert_eq!(lines[0], "/dev/sda: 0 MiB, empty");
        assert!(lines[1].starts_with("/dev/sr0: 0 MiB, cannot be read: "), "{lines:?}");
    }
}
