//! What the host itself does with its disks: none of it is given to a guest.

use crate::guests::disks::{Disk, at_path, of_device, parse_number};
use crate::system::boot_record;
use crate::system::files;
use crate::system::world::World;
use std::fs;
use std::path::Path;

/// A disk that the host uses, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The bytes in use.
    pub disk: Disk,
    /// What for, as in "is mounted at /srv".
    pub what: String,
    /// It is a device upon others, which a guest may have when nothing uses it.
    stacked: bool,
}

impl Use {
    fn new(disk: Disk, what: String) -> Self {
        Self { disk, what, stacked: false }
    }
}

/// Everything that the host uses now.
pub fn all(world: &World<'_>) -> Vec<Use> {
    let mut uses = Vec::new();
    if let Some(record) = boot_record::find(world.root) {
        if let Some(config) = &record.config
            && let Ok(disk) = at_path(world, Path::new(&config.device))
        {
            uses.push(Use::new(disk, format!("holds the host's config ({})", config.device)));
        }
        let source = record.root.source.as_str();
        // A medium is used where its image lies: other partitions of a stick are free.
        if !source.starts_with("medium:")
            && let Ok(disk) = at_path(world, Path::new(&record.root.device))
        {
            uses.push(Use::new(disk, format!("is what the host booted from ({})", record.root.device)));
        }
    }
    mounted(world, &mut uses);
    swap(world, &mut uses);
    stacked(world, &mut uses);
    uses
}

/// By /proc/self/mountinfo: the device's number, and its name where the file
/// system has a number of its own, as btrfs has.
fn mounted(world: &World<'_>, uses: &mut Vec<Use>) {
    let text = fs::read_to_string(world.at("/proc/self/mountinfo")).unwrap_or_default();
    for line in text.lines() {
        let mut fields = line.split(' ').skip(2);
        let (Some(number), Some(place)) = (fields.next(), fields.nth(1)) else { continue };
        let source = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').nth(1)).unwrap_or_default();
        let what = format!("is mounted at {place}");
        match parse_number(number) {
            // Major 0 is for what lies on no device.
            Some((major, minor)) if major != 0 => uses.push(Use::new(of_device(world, major, minor), what)),
            _ if source.starts_with("/dev/") => {
                uses.extend(at_path(world, Path::new(source)).ok().map(|disk| Use::new(disk, what)));
            }
            _ => {}
        }
    }
}

fn swap(world: &World<'_>, uses: &mut Vec<Use>) {
    let text = fs::read_to_string(world.at("/proc/swaps")).unwrap_or_default();
    for path in text.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().next()) {
        if let Ok(disk) = at_path(world, Path::new(path)) {
            uses.push(Use::new(disk, format!("is swap space of the host ({path})")));
        }
    }
}

/// Mapped devices, arrays and loop devices: whatever they lie on is taken.
fn stacked(world: &World<'_>, uses: &mut Vec<Use>) {
    let of_kinds = |name: &String| ["dm-", "md", "loop", "bcache", "drbd"].iter().any(|kind| name.starts_with(kind));
    for name in files::names(&world.at("/sys/class/block")).into_iter().filter(of_kinds) {
        let number = world.line(format!("/sys/class/block/{name}/dev"));
        let Some((major, minor)) = number.as_deref().and_then(parse_number) else { continue };
        let disk = of_device(world, major, minor);
        // A loop device that is bound to nothing.
        if disk.extents.len() < 2 {
            continue;
        }
        let called = world.line(format!("/sys/class/block/{name}/dm/name")).map(|called| format!(", {called}"));
        let what = format!("is a part of /dev/{name}{}", called.unwrap_or_default());
        uses.push(Use { disk, what, stacked: true });
    }
}

/// Why a guest cannot have `disk`. What the disk itself is or lies on is no reason.
pub fn reason<'a>(disk: &Disk, uses: &'a [Use]) -> Option<&'a str> {
    let below = |used: &Use| used.disk.base().is_some_and(|base| disk.lies_on(base));
    uses.iter().find(|used| !(used.stacked && below(used)) && used.disk.meets(disk)).map(|used| used.what.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::disks::tests::machine;
    use crate::guests::tests::Node;

    fn why(node: &Node, number: &str) -> Option<String> {
        let world = node.world();
        let (major, minor) = parse_number(number).unwrap();
        reason(&of_device(&world, major, minor), &all(&world)).map(str::to_owned)
    }

    #[test]
    fn what_is_mounted_or_swapped_to_is_the_hosts_with_all_it_is_a_part_of() {
        let node = Node::new();
        machine(&node);
        assert_eq!(why(&node, "8:2"), None);
        node.file(
            "/proc/self/mountinfo",
            b"30 1 8:2 / /data rw - ext4 /dev/sda2 rw\n31 1 0:5 / /proc rw - proc proc rw\n",
        );
        assert_eq!(why(&node, "8:2").as_deref(), Some("is mounted at /data"));
        assert_eq!(why(&node, "8:0").as_deref(), Some("is mounted at /data"));
        assert_eq!(why(&node, "253:0"), None);
        node.file("/proc/swaps", b"Filename Type Size Used Priority\n/data/disk.img file 1 0 -2\n");
        assert_eq!(why(&node, "7:0").as_deref(), Some("is swap space of the host (/data/disk.img)"));
    }

    #[test]
    fn volumes_are_free_and_what_they_lie_on_is_not() {
        let node = Node::new();
        machine(&node);
        assert_eq!(why(&node, "253:0"), None);
        assert_eq!(why(&node, "9:0"), None);
        assert_eq!(why(&node, "8:1").as_deref(), Some("is a part of /dev/dm-0"));
        assert_eq!(why(&node, "8:16").as_deref(), Some("is a part of /dev/md0"));
        node.file("/proc/self/mountinfo", b"30 1 253:0 / /srv rw - ext4 /dev/mapper/vg-a rw\n");
        assert_eq!(why(&node, "253:0").as_deref(), Some("is mounted at /srv"));
        assert_eq!(why(&node, "253:1"), None);
    }
}
