//! Disks that the host makes: on their first use, and never again.
//!
//! A logical volume carries a tag from its making to its formatting, so that a
//! start that was interrupted between the two is taken up again and nothing
//! else is ever formatted. A file is made beside and renamed.

use crate::system::world::World;
use crate::system::{atomic_file, boot_record};
use appliance_contract::guest::{Access, Content, Disk, GuestConfig};
use appliance_shared::probe::{Contents, probe};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const TAG: &str = "appliance-unformatted";
/// LVM looks at no other disk.
const DEVICES: &str = "/etc/lvm/devices/system.devices";

/// Why a guest's disk could not be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum VolumeError {
    #[error(
        "disk {disk}: there is no volume group {group}{} on the disks that {DEVICES} lists; list its disk there with \
         lvm lvmdevices --adddev, make it with vgcreate, or correct source", known(.groups)
    )]
    NoGroup { disk: String, group: String, groups: Vec<String> },
    #[error("disk {disk}: {doing}: {reason}")]
    Program { disk: String, doing: String, reason: String },
    #[error(
        "disk {disk}: {path} was made for this guest and never formatted, and it holds {found}; nothing that holds \
         something is formatted: wipe it with wipefs, or take the tag {TAG} from it with lvchange --deltag"
    )]
    NotEmpty { disk: String, path: String, found: String },
    #[error("disk {disk}: {doing} {path}: {error}")]
    Io { disk: String, doing: &'static str, path: String, error: io::Error },
}

fn known(groups: &[String]) -> String {
    if groups.is_empty() { String::new() } else { format!(" (there are {})", groups.join(", ")) }
}

/// Makes what is to be made and is not there; says what was made, and what an operator may not expect of it.
pub fn make(world: &World<'_>, config: &GuestConfig) -> Result<Vec<String>, VolumeError> {
    let mut made = Vec::new();
    for disk in &config.disks {
        if let Access::Write { content, create: Some(size) } = disk.access {
            let maker = Maker { world, disk, content, size: size.bytes() };
            let line = match disk.source.logical_volume() {
                Some((group, volume)) => maker.volume(group, volume)?,
                None => maker.file()?,
            };
            made.extend(line);
            made.extend(maker.forgotten());
        }
    }
    Ok(made)
}

struct Maker<'a> {
    world: &'a World<'a>,
    disk: &'a Disk,
    content: Content,
    size: u64,
}

impl Maker<'_> {
    fn volume(&self, group: &str, volume: &str) -> Result<Option<String>, VolumeError> {
        let full = format!("{group}/{volume}");
        let there = self.try_run("lvs", &["--noheadings", "--options", "lv_tags", &full])?;
        let made = !there.is_well();
        if made {
            self.group(group)?;
            let size = format!("{}b", self.size);
            // Whatever an earlier volume left in these places is no file system of this one's.
            self.run(
                "lvcreate",
                &[
                    "--yes",
                    "--wipesignatures",
                    "y",
                    "--zero",
                    "y",
                    "--addtag",
                    TAG,
                    "--size",
                    &size,
                    "--name",
                    volume,
                    group,
                ],
            )?;
        } else if !self.world.at(self.disk.source.as_str()).exists() {
            self.run("lvchange", &["--activate", "y", &full])?;
        }
        let unformatted = made || there.stdout.split(',').any(|tag| tag.trim() == TAG);
        if !unformatted {
            return Ok(None);
        }
        if self.content != Content::Nothing {
            self.refuse_content()?;
            self.format(self.disk.source.as_str())?;
        }
        self.run("lvchange", &["--deltag", TAG, &full])?;
        Ok(Some(format!("disk {}: made the logical volume {full}, {} MiB", self.disk.name, self.size >> 20)))
    }

    fn group(&self, group: &str) -> Result<(), VolumeError> {
        let output = self.try_run("vgs", &["--noheadings", "--options", "vg_name"])?;
        let groups: Vec<String> = output.stdout.split_ascii_whitespace().map(str::to_owned).collect();
        if groups.iter().any(|found| found == group) {
            return Ok(());
        }
        Err(VolumeError::NoGroup { disk: self.disk.name.to_string(), group: group.to_owned(), groups })
    }

    /// What the guest writes goes with the host's memory.
    fn forgotten(&self) -> Option<String> {
        let path = self.disk.source.as_str();
        let device = |path: &Path| fs::metadata(self.world.at(path)).ok().map(|stat| stat.dev());
        let in_memory = Path::new(path).starts_with("/var")
            && boot_record::find(self.world.root).is_some_and(|record| record.var == "image")
            && device(Path::new(path)) == device(Path::new("/var"));
        in_memory.then(|| {
            format!(
                "disk {}: {path} lies in memory, as /var does on this node, and is gone at its next boot; give the \
                 node a partition for /var",
                self.disk.name
            )
        })
    }

    fn refuse_content(&self) -> Result<(), VolumeError> {
        let path = self.disk.source.as_str();
        let contents = File::open(self.world.at(path)).and_then(|file| probe(&file));
        let found = match contents.map_err(|error| self.io("reading", path, error))? {
            Contents::Empty | Contents::Unknown => return Ok(()),
            Contents::FileSystem(found) => format!("a file system ({})", found.kind),
            Contents::Member(member) => member.to_string(),
            Contents::PartitionTable => "a partition table".to_owned(),
        };
        Err(VolumeError::NotEmpty { disk: self.disk.name.to_string(), path: path.to_owned(), found })
    }

    fn file(&self) -> Result<Option<String>, VolumeError> {
        let path = self.disk.source.as_str();
        if fs::symlink_metadata(self.world.at(path)).is_ok() {
            return Ok(None);
        }
        let beside = format!("{path}.appliance-new");
        let place = self.world.at(&beside);
        let make = || -> io::Result<File> {
            let file = File::create(&place)?;
            file.set_len(self.size)?;
            Ok(file)
        };
        let file = make().map_err(|error| self.io("making", &beside, error))?;
        if self.content != Content::Nothing {
            self.format(&beside)?;
        }
        atomic_file::publish(&file, &place, &self.world.at(path)).map_err(|error| self.io("making", path, error))?;
        Ok(Some(format!("disk {}: made the file {path}, {} MiB", self.disk.name, self.size >> 20)))
    }

    fn format(&self, path: &str) -> Result<(), VolumeError> {
        let place = self.world.at(path).to_string_lossy().into_owned();
        // Labels have 16 bytes.
        let label: String = self.disk.name.as_str().chars().take(16).collect();
        match self.content {
            Content::Ext4 => self.run("mkfs.ext4", &["-q", "-F", "-L", &label, &place]),
            Content::Swap => self.run("mkswap", &["--label", &label, &place]),
            Content::Nothing => Ok(()),
        }
    }

    fn try_run(&self, program: &str, arguments: &[&str]) -> Result<crate::system::programs::Output, VolumeError> {
        self.world.programs.run(program, arguments).map_err(|error| VolumeError::Program {
            disk: self.disk.name.to_string(),
            doing: format!("running {program}"),
            reason: error.to_string(),
        })
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), VolumeError> {
        let output = self.try_run(program, arguments)?;
        if output.is_well() {
            return Ok(());
        }
        Err(VolumeError::Program {
            disk: self.disk.name.to_string(),
            doing: format!("{program} {}", arguments.join(" ")),
            reason: output.complaint(),
        })
    }

    fn io(&self, doing: &'static str, path: &str, error: io::Error) -> VolumeError {
        VolumeError::Io { disk: self.disk.name.to_string(), doing, path: path.to_owned(), error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::image::tests::RECORD;
    use crate::guests::tests::Node;

    fn config(source: &str, rest: &str) -> GuestConfig {
        let disk = format!("[[disk]]\nname = \"data\"\nsource = \"{source}\"\ncreate = true\nsize = \"10G\"\n{rest}");
        GuestConfig::parse(&format!("schema = 1\nimage = \"web\"\nmemory = \"64M\"\n{disk}")).unwrap()
    }

    fn calls(node: &Node) -> Vec<String> {
        let root = node.at("/").to_string_lossy().into_owned();
        node.programs.calls.borrow().iter().map(|call| call.replace(&root, "/")).collect()
    }

    #[test]
    fn a_volume_is_made_and_formatted_once() {
        let node = Node::new();
        node.file("/dev/vg0/web", &[0; 4096]);
        for (call, status, out) in
            [("lvs", 5, ""), ("vgs", 0, "  vg0\n"), ("lvcreate", 0, ""), ("lvchange", 0, ""), ("mkfs.ext4", 0, "")]
        {
            node.programs.answer(call, status, out);
        }
        let made = make(&node.world(), &config("/dev/vg0/web", "")).unwrap();
        assert_eq!(made, ["disk data: made the logical volume vg0/web, 10240 MiB"]);
        assert_eq!(
            calls(&node),
            [
                "lvs --noheadings --options lv_tags vg0/web",
                "vgs --noheadings --options vg_name",
                "lvcreate --yes --wipesignatures y --zero y --addtag appliance-unformatted --size 10737418240b --name \
                 web vg0",
                "mkfs.ext4 -q -F -L data /dev/vg0/web",
                "lvchange --deltag appliance-unformatted vg0/web",
            ]
        );
        node.programs.calls.borrow_mut().clear();
        node.programs.answer("lvs", 0, "  other\n");
        assert!(make(&node.world(), &config("/dev/vg0/web", "")).unwrap().is_empty());
        assert_eq!(calls(&node), ["lvs --noheadings --options lv_tags vg0/web"]);
    }

    #[test]
    fn an_interrupted_making_is_taken_up_and_content_is_never_formatted() {
        let node = Node::new();
        node.file("/dev/vg0/web", &[0; 4096]);
        node.programs.answer("lvs", 0, "  x,appliance-unformatted\n");
        node.programs.answer("mkswap", 0, "");
        node.programs.answer("lvchange", 0, "");
        assert_eq!(make(&node.world(), &config("/dev/vg0/web", "swap = true\n")).unwrap().len(), 1);
        let mut ext4 = vec![0; 1 << 20];
        ext4[1080..1082].copy_from_slice(&[0x53, 0xef]);
        node.file("/dev/vg0/web", &ext4);
        node.programs.calls.borrow_mut().clear();
        let error = make(&node.world(), &config("/dev/vg0/web", "")).unwrap_err().to_string();
        assert!(
            error.contains("and it holds a file system (ext4); nothing that holds something is formatted"),
            "{error}"
        );
        assert_eq!(calls(&node).len(), 1);
    }

    #[test]
    fn a_group_that_is_missing_is_named_with_those_there_are() {
        let node = Node::new();
        node.programs.answer("lvs", 5, "");
        node.programs.answer("vgs", 0, "  data\n");
        let error = make(&node.world(), &config("/dev/vg0/web", "")).unwrap_err().to_string();
        let expected = "disk data: there is no volume group vg0 (there are data) on the disks that \
                        /etc/lvm/devices/system.devices lists; list its disk there with lvm lvmdevices --adddev";
        assert!(error.starts_with(expected), "{error}");
        node.programs.answer("vgs", 0, "vg0\n");
        node.programs.answer("lvcreate", 5, "insufficient free space");
        let error = make(&node.world(), &config("/dev/vg0/web", "")).unwrap_err().to_string();
        assert!(error.ends_with("--name web vg0: insufficient free space"), "{error}");
    }

    #[test]
    fn a_file_is_made_whole_or_not_at_all_and_left_alone_when_there() {
        let node = Node::new();
        fs::create_dir(node.at("/data")).unwrap();
        node.programs.answer("mkfs.ext4", 1, "no");
        assert!(make(&node.world(), &config("/data/web.img", "")).is_err());
        assert!(!node.at("/data/web.img").exists());
        node.programs.answer("mkfs.ext4", 0, "");
        assert_eq!(make(&node.world(), &config("/data/web.img", "")).unwrap().len(), 1);
        assert_eq!(fs::metadata(node.at("/data/web.img")).unwrap().len(), 10 << 30);
        assert!(!node.at("/data/web.img.appliance-new").exists());
        node.programs.calls.borrow_mut().clear();
        assert!(make(&node.world(), &config("/data/web.img", "")).unwrap().is_empty());
        assert!(calls(&node).is_empty());
    }
    #[test]
    fn a_file_that_is_there_is_left_alone_whatever_its_size_and_content() {
        let node = Node::new();
        node.file("/data/web.img", b"precious");
        assert!(make(&node.world(), &config("/data/web.img", "")).unwrap().is_empty());
        assert_eq!(fs::read(node.at("/data/web.img")).unwrap(), b"precious");
        assert!(calls(&node).is_empty());
    }

    #[test]
    fn a_disk_that_lies_in_memory_is_said_to_go_with_it() {
        let node = Node::new();
        fs::create_dir_all(node.at("/var/disks")).unwrap();
        let record = |var: &str| {
            let text = RECORD.replace("\"var\": \"image\"", &format!("\"var\": \"{var}\""));
            node.file("/run/appliance/boot.json", text.as_bytes());
        };
        record("image");
        let notes = make(&node.world(), &config("/var/disks/web.img", "format = \"none\"\n")).unwrap();
        assert_eq!(notes.len(), 2);
        assert!(notes[1].starts_with("disk data: /var/disks/web.img lies in memory"), "{notes:?}");
        // Elsewhere, or with /var on a disk, it is kept.
        node.file("/data/web.img", b"");
        assert!(make(&node.world(), &config("/data/web.img", "")).unwrap().is_empty());
        record("/dev/sda2");
        assert!(make(&node.world(), &config("/var/disks/web.img", "")).unwrap().is_empty());
    }
}
