//! Config partitions as files to put on a disk, a stick or a CD.

use super::{ConfigTree, FleetError, fat_form};
use crate::format::ext4::{Ext4, Ext4Options};
use crate::format::fat::{Fat, FatOptions};
use crate::format::gpt::{self, Partition, SECTOR};
use crate::format::iso::{self, VolumeUuid};
use crate::tree::{Kind, Tree};
use crate::util::atomic_file::{self, AtomicFile, Durability};
use crate::util::file_error::At as _;
use crate::util::sha256;
use appliance_contract::gpt_types;
use serde::Deserialize;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The file system of a config partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigFormat {
    #[default]
    Ext4,
    Vfat,
    /// A whole volume without a partition table: CD drives have no partitions.
    Iso,
}

/// What to write.
#[derive(Debug, Clone)]
pub struct ConfigImage {
    pub node: String,
    pub format: ConfigFormat,
    /// Number of the config partition; those before it are there and empty. ISO 9660 has no partitions.
    pub partition: u32,
    /// Seconds since 1970, of every file.
    pub time: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub size: u64,
    /// What the format could not hold, and what became of it.
    pub warnings: Vec<String>,
}

/// A finished image under a name of its own, gone with this value unless it is put into its place.
#[derive(Debug)]
pub struct Made {
    out: AtomicFile,
    file: PathBuf,
    written: Written,
}

impl Made {
    /// Gives the image its name.
    pub fn put(self) -> Result<Written, FleetError> {
        let Self { out, file, written } = self;
        // A config image holds keys, so only its owner may read it.
        out.persist(&file, 0o600, Durability::Synced).map_err(FleetError::file("renaming to", file))?;
        Ok(written)
    }
}

/// Partitions begin at multiples of 1 MiB, right for any disk's physical blocks.
const ALIGNMENT: u64 = 1 << 20;
const LABEL: &str = "CONFIG";
/// Room for changes: as much as there is.
const COPIES: u64 = 2;
/// Small enough for any stick; this is FAT16.
const SMALLEST_FAT: u64 = 16 << 20;
/// Room for a gibibyte of files, sixteen times what `local/etc` may hold.
const LARGEST: u64 = (2 << 30) + (16 << 20);

impl ConfigImage {
    /// Writes the image of the node in `fleet` to `file`, whole or not at all.
    pub fn write(&self, fleet: &Path, file: &Path) -> Result<Written, FleetError> {
        self.write_tree(&ConfigTree::read(fleet, &self.node, self.time)?.tree, file)
    }

    /// Writes the image of `tree`, which stands for the node's own.
    pub fn write_tree(&self, tree: &Tree, file: &Path) -> Result<Written, FleetError> {
        self.make(tree, file)?.put()
    }

    /// Makes the image of `tree` beside `file`, for [`Made::put`] to put into its place.
    pub fn make(&self, tree: &Tree, file: &Path) -> Result<Made, FleetError> {
        // A rename would put a file in the place of a drive's device.
        if std::fs::metadata(file).is_ok_and(|there| !there.is_file()) {
            return Err(FleetError::NotAFile(file.to_owned()));
        }
        let folder = atomic_file::directory(file);
        let mut out = AtomicFile::create_in(folder).at("making a file in", folder)?;
        let mut warnings = Vec::new();
        if self.format == ConfigFormat::Iso {
            self.write_iso(tree, out.as_file())?;
        } else {
            let bytes = match self.format {
                ConfigFormat::Vfat => {
                    let held = fat_form::convert(tree)?;
                    warnings = held.warnings;
                    bounded("vfat", content(&held.tree))?;
                    let planned = Fat::plan(&held.tree)?;
                    let size = bounded("vfat", planned.size(SMALLEST_FAT, COPIES))?;
                    let options = FatOptions {
                        // The bound is below it.
                        size: u32::try_from(size).unwrap_or(u32::MAX),
                        label: LABEL.to_owned(),
                        volume_id: u32::from_be_bytes(std::array::from_fn(|index| self.guid("fat").as_bytes()[index])),
                    };
                    planned.write(&options)?
                }
                _ => {
                    bounded("ext4", content(tree))?;
                    let options = self.ext4_options();
                    let planned = Ext4::plan(tree, &options)?;
                    bounded("ext4", planned.size())?;
                    planned.write()?
                }
            };
            self.write_disk(&bytes, &mut out).map_err(|error| error.at(file))?;
        }
        let writing = FleetError::file("writing", file);
        let size = out.as_file().sync_all().and_then(|()| out.as_file().metadata()).map_err(writing)?.len();
        Ok(Made { out, file: file.to_owned(), written: Written { size, warnings } })
    }

    /// Puts an ext4 config partition behind all others of the disk image or medium in `file`, which grows by it.
    pub fn append_to(&self, tree: &Tree, file: &Path) -> Result<(), FleetError> {
        let bytes = Ext4::plan(tree, &self.ext4_options())?.write()?;
        let writing = FleetError::file("writing", file);
        let opened = std::fs::OpenOptions::new().read(true).write(true).open(file);
        let mut disk = opened.at("opening", file)?;
        let start = disk.metadata().at("reading", file)?.len().next_multiple_of(ALIGNMENT);
        let end = start + (bytes.len() as u64).next_multiple_of(ALIGNMENT);
        // Room for the backup table.
        let size = end + ALIGNMENT;
        disk.set_len(size).and_then(|()| disk.write_all_at(&bytes, start)).map_err(writing)?;
        let partition = Partition {
            type_guid: config_type(),
            guid: self.guid("partition behind a medium"),
            name: "config".to_owned(),
            first_sector: start / SECTOR,
            last_sector: end / SECTOR - 1,
        };
        Ok(gpt::append(&mut disk, size / SECTOR, &partition)?)
    }

    fn ext4_options(&self) -> Ext4Options {
        Ext4Options { uuid: self.guid("ext4").into_bytes(), label: LABEL.to_owned(), size: None, time: self.time }
    }

    fn write_disk(&self, bytes: &[u8], out: &mut AtomicFile) -> Result<(), DiskFailure> {
        let mut partitions = Vec::new();
        let mut start = ALIGNMENT;
        for number in 1..=self.partition {
            let ours = number == self.partition;
            let size = if ours { (bytes.len() as u64).next_multiple_of(ALIGNMENT) } else { ALIGNMENT };
            partitions.push(Partition {
                type_guid: if ours { config_type() } else { LINUX_DATA },
                guid: self.guid(&format!("partition {number}")),
                name: if ours { "config".to_owned() } else { format!("empty {number}") },
                first_sector: start / SECTOR,
                last_sector: (start + size) / SECTOR - 1,
            });
            start += size;
        }
        // Room for the backup table.
        let size = start + ALIGNMENT;
        out.as_file().set_len(size)?;
        gpt::write(out.as_file_mut(), size / SECTOR, self.guid("disk"), &partitions)?;
        let offset = partitions.last().map_or(0, |partition| partition.first_sector * SECTOR);
        out.as_file().write_all_at(bytes, offset)?;
        Ok(())
    }

    fn write_iso(&self, tree: &Tree, file: &std::fs::File) -> Result<(), FleetError> {
        let options = iso::Options {
            label: LABEL.to_owned(),
            created: self.time,
            uuid: VolumeUuid::from_hash(sha256::of(self.guid("iso").as_bytes())),
            joliet: false,
            boot: None,
            present: None,
        };
        iso::Volume::new(tree, &options)?.write(file)?;
        Ok(())
    }

    /// A GUID of this node's own that is the same each time: version 5 (RFC 9562, 5.5), in the space of our partition type.
    fn guid(&self, what: &str) -> Uuid {
        Uuid::new_v5(&config_type(), format!("{}/{what}", self.node).as_bytes())
    }
}

/// Bytes of all files, which any format needs.
fn content(tree: &Tree) -> u64 {
    let length = |id| if let Kind::File(content) = &tree.node(id).kind { content.len() } else { 0 };
    tree.walk().map(|(_, id)| length(id)).fold(0, u64::saturating_add)
}

/// The size of a file system, unless it is more than memory is there for.
fn bounded(format: &'static str, size: u64) -> Result<u64, FleetError> {
    if size > LARGEST {
        return Err(FleetError::ImageTooLarge { format, found: size, expected: LARGEST });
    }
    Ok(size)
}

/// "Linux filesystem data" (UAPI.2).
const LINUX_DATA: Uuid = Uuid::from_u128(0x0fc6_3daf_8483_4772_8e79_3d69_d847_7de4);

fn config_type() -> Uuid {
    // A constant of ours; its form is tested.
    Uuid::parse_str(gpt_types::CONFIG).unwrap_or_default()
}

/// What can fail between the file's bytes and the partition table.
enum DiskFailure {
    Io(std::io::Error),
    Table(gpt::GptWriteError),
}

impl From<std::io::Error> for DiskFailure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<gpt::GptWriteError> for DiskFailure {
    fn from(error: gpt::GptWriteError) -> Self {
        Self::Table(error)
    }
}

impl DiskFailure {
    fn at(self, file: &Path) -> FleetError {
        match self {
            Self::Io(source) => FleetError::file("writing", file)(source),
            Self::Table(source) => source.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::causes::WithCauses as _;

    #[test]
    fn the_config_type_is_a_guid_of_ours() {
        assert!(!config_type().is_nil());
        assert_ne!(config_type(), LINUX_DATA);
    }

    #[test]
    fn what_is_no_file_is_not_replaced_by_one() {
        let fleet = tempfile::tempdir().unwrap();
        crate::fleet::init(fleet.path()).unwrap();
        let pipe = fleet.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let image = ConfigImage { node: "node1".into(), format: ConfigFormat::Iso, partition: 1, time: 0 };
        for place in [pipe.as_path(), &fleet.path().join("docs")] {
            assert!(matches!(image.write(fleet.path(), place), Err(FleetError::NotAFile(_))), "{}", place.display());
        }
        assert!(!pipe.is_file() && pipe.exists());
        assert!(image.write(fleet.path(), &fleet.path().join("config.iso")).is_ok());
    }

    #[test]
    fn what_is_too_large_to_be_made_in_memory_is_refused_at_once() {
        let fleet = tempfile::tempdir().unwrap();
        crate::fleet::init(fleet.path()).unwrap();
        // A hole, so that the test needs no such disk.
        let big = std::fs::File::create(fleet.path().join("pservers/node1/disk.img")).unwrap();
        big.set_len(LARGEST / 2 + 1).unwrap();
        for (format, name) in [(ConfigFormat::Ext4, "ext4"), (ConfigFormat::Vfat, "vfat")] {
            let image = ConfigImage { node: "node1".into(), format, partition: 1, time: 0 };
            let error = image.write(fleet.path(), &fleet.path().join("config.img")).unwrap_err().with_causes();
            assert!(error.contains(name) && error.contains("pass --format iso"), "{error}");
        }
    }

    #[test]
    fn a_failure_leaves_no_file_and_keeps_the_old_one() {
        let fleet = tempfile::tempdir().unwrap();
        let file = fleet.path().join("config.img");
        std::fs::write(&file, "old").unwrap();
        let image = ConfigImage { node: "web1".into(), format: ConfigFormat::Ext4, partition: 1, time: 0 };
        assert!(image.write(fleet.path(), &file).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(fleet.path()).unwrap().count(), 1);
    }
}
