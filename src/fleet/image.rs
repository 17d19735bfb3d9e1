//! Config partitions as image files for a disk, a USB stick or a CD.

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
    /// ext4, in a partition of a GPT disk.
    #[default]
    Ext4,
    /// FAT16 or FAT32, in a partition of a GPT disk. FAT stores neither links nor modes.
    Vfat,
    /// ISO 9660 as a whole volume, without a partition table: CD drives have no partitions.
    Iso,
}

/// What to write.
#[derive(Debug, Clone)]
pub struct ConfigImage {
    /// The name of the node; the UUIDs of the disk and the partition are made from it.
    pub node: String,
    /// The file system to write.
    pub format: ConfigFormat,
    /// The number of the config partition; partitions before it exist and are empty. ISO 9660 has no partitions.
    pub partition: u32,
    /// The time of every file, in seconds since 1970.
    pub time: i64,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The size of the image file, in bytes.
    pub size: u64,
    /// What the format could not store, and how it was handled.
    pub warnings: Vec<String>,
}

/// A complete image in a temporary file, which is removed when this value is dropped without [`TemporaryImage::persist`].
#[derive(Debug)]
pub struct TemporaryImage {
    out: AtomicFile,
    file: PathBuf,
    written: Written,
}

impl TemporaryImage {
    /// Gives the image its final name.
    pub fn persist(self) -> Result<Written, FleetError> {
        let Self { out, file, written } = self;
        // A config image holds keys, so only its owner may read it.
        out.persist(&file, 0o600, Durability::Synced).map_err(FleetError::file("renaming to", file))?;
        Ok(written)
    }
}

/// Partitions start at multiples of 1 MiB, which suits the physical blocks of any disk.
const ALIGNMENT: u64 = 1 << 20;
const LABEL: &str = "CONFIG";
/// Space for changes: the file system has room for the content twice.
const COPIES: u64 = 2;
/// Small enough for any USB stick; this size makes it FAT16.
const MIN_FAT_SIZE: u64 = 16 << 20;
/// Space for 1 GiB of files, sixteen times the limit of `local/etc`.
const MAX_SIZE: u64 = (2 << 30) + (16 << 20);

impl ConfigImage {
    /// Writes the image of the node in `fleet` to `file` atomically.
    pub fn write(&self, fleet: &Path, file: &Path) -> Result<Written, FleetError> {
        self.write_tree(&ConfigTree::read(fleet, &self.node, self.time)?.tree, file)
    }

    /// As [`ConfigImage::write`], with `tree` as the node's config.
    pub fn write_tree(&self, tree: &Tree, file: &Path) -> Result<Written, FleetError> {
        self.write_temporary(tree, file)?.persist()
    }

    /// Writes the image of `tree` to a temporary file, which [`TemporaryImage::persist`] renames to `file`.
    pub fn write_temporary(&self, tree: &Tree, file: &Path) -> Result<TemporaryImage, FleetError> {
        // A rename would replace a symlink, such as /dev/stdout, by the image.
        let is_link = std::fs::symlink_metadata(file).is_ok_and(|there| there.is_symlink());
        let target =
            if is_link { std::fs::canonicalize(file).at("following the link", file)? } else { file.to_owned() };
        let file = target.as_path();
        // A rename would replace a drive's device node with a file.
        if std::fs::metadata(file).is_ok_and(|there| !there.is_file()) {
            return Err(FleetError::NotAFile(file.to_owned()));
        }
        let folder = atomic_file::directory(file);
        let mut out = AtomicFile::create_in(folder).at("creating a file in", folder)?;
        let mut warnings = Vec::new();
        if self.format == ConfigFormat::Iso {
            self.write_iso(tree, out.as_file())?;
        } else {
            let bytes = match self.format {
                ConfigFormat::Vfat => {
                    let held = fat_form::convert(tree)?;
                    warnings = held.warnings;
                    check_size("vfat", content(&held.tree))?;
                    let planned = Fat::plan(&held.tree)?;
                    let size = check_size("vfat", planned.size(MIN_FAT_SIZE, COPIES))?;
                    let options = FatOptions {
                        // The limit is smaller.
                        size: u32::try_from(size).unwrap_or(u32::MAX),
                        label: LABEL.to_owned(),
                        volume_id: u32::from_be_bytes(std::array::from_fn(|index| self.guid("fat").as_bytes()[index])),
                    };
                    planned.write(&options)?
                }
                _ => {
                    check_size("ext4", content(tree))?;
                    let options = self.ext4_options();
                    let planned = Ext4::plan(tree, &options)?;
                    check_size("ext4", planned.size())?;
                    planned.write()?
                }
            };
            self.write_disk(&bytes, &mut out).map_err(|error| error.at(file))?;
        }
        let writing = FleetError::file("writing", file);
        let size = out.as_file().sync_all().and_then(|()| out.as_file().metadata()).map_err(writing)?.len();
        Ok(TemporaryImage { out, file: file.to_owned(), written: Written { size, warnings } })
    }

    /// Appends an ext4 config partition to the disk image or medium in `file`.
    pub fn append_to(&self, tree: &Tree, file: &Path) -> Result<(), FleetError> {
        let bytes = Ext4::plan(tree, &self.ext4_options())?.write()?;
        let writing = FleetError::file("writing", file);
        let opened = std::fs::OpenOptions::new().read(true).write(true).open(file);
        let mut disk = opened.at("opening", file)?;
        let start = disk.metadata().at("reading", file)?.len().next_multiple_of(ALIGNMENT);
        let end = start + (bytes.len() as u64).next_multiple_of(ALIGNMENT);
        // Space for the backup table.
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
        // Space for the backup table.
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
            in_place: None,
        };
        iso::Volume::new(tree, &options)?.write(file)?;
        Ok(())
    }

    /// A reproducible GUID of this node: version 5 (RFC 9562, 5.5), with the type of config partitions as its
    /// namespace.
    fn guid(&self, what: &str) -> Uuid {
        Uuid::new_v5(&config_type(), format!("{}/{what}", self.node).as_bytes())
    }
}

/// Bytes of all files; an image of any format is at least this large.
fn content(tree: &Tree) -> u64 {
    let length = |id| if let Kind::File(content) = &tree.node(id).kind { content.len() } else { 0 };
    tree.walk().map(|(_, id)| length(id)).fold(0, u64::saturating_add)
}

/// Refuses a size above the limit of images that are made in memory.
fn check_size(format: &'static str, size: u64) -> Result<u64, FleetError> {
    if size > MAX_SIZE {
        return Err(FleetError::ImageTooLarge { format, found: size, expected: MAX_SIZE });
    }
    Ok(size)
}

/// "Linux filesystem data" (UAPI.2).
const LINUX_DATA: Uuid = Uuid::from_u128(0x0fc6_3daf_8483_4772_8e79_3d69_d847_7de4);

fn config_type() -> Uuid {
    // A constant; a test parses it.
    Uuid::parse_str(gpt_types::CONFIG).unwrap_or_default()
}

/// An error of writing the image's bytes or its partition table.
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
    fn a_link_leads_to_the_image_and_stays() {
        let fleet = tempfile::tempdir().unwrap();
        crate::fleet::init(fleet.path()).unwrap();
        let (link, file) = (fleet.path().join("link"), fleet.path().join("config.iso"));
        std::os::unix::fs::symlink("config.iso", &link).unwrap();
        let image = ConfigImage { node: "node1".into(), format: ConfigFormat::Iso, partition: 1, time: 0 };
        let error = image.write(fleet.path(), &link).unwrap_err().with_causes();
        assert!(error.contains("following the link") && error.contains("link: No such file"), "{error}");
        std::fs::write(&file, "old").unwrap();
        image.write(fleet.path(), &link).unwrap();
        assert!(link.is_symlink() && std::fs::metadata(&file).unwrap().len() > 32768);
    }

    #[test]
    fn what_is_too_large_to_be_made_in_memory_is_refused_at_once() {
        let fleet = tempfile::tempdir().unwrap();
        crate::fleet::init(fleet.path()).unwrap();
        // A hole, so that the test needs no such disk.
        let big = std::fs::File::create(fleet.path().join("pservers/node1/disk.img")).unwrap();
        big.set_len(MAX_SIZE / 2 + 1).unwrap();
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
