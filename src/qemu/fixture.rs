//! Drives for scenarios, most of them wrong on purpose: a marker of another schema, too large an `etc`, a journal to be
//! replayed, no config partition at all.

use super::QemuError;
use super::scenario::{Holds, ScenarioDrive};
use crate::fleet::{ConfigFormat, ConfigImage, ConfigTree, FleetError};
use crate::format::ext4::{Ext4, Ext4Options};
use crate::tree::{Content, Metadata, Node, Tree, TreeError, TreePath};
use appliance_contract::marker;
use sha2::{Digest, Sha256};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The time of the files in a scenario's config partitions: 2026-01-01.
const TIME: i64 = 1_767_225_600;

/// Why a scenario's drive cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    /// The node's config partition cannot be made.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// Reading or writing a file failed.
    #[error(transparent)]
    File(#[from] QemuError),
    /// The journal of an ext4 file system cannot be left dirty.
    #[error("giving the ext4 file system on {drive} a dirty journal: {reason}")]
    Journal {
        /// The drive's name.
        drive: String,
        /// Why not.
        reason: &'static str,
    },
}

impl From<TreeError> for FixtureError {
    fn from(error: TreeError) -> Self {
        Self::Fleet(error.into())
    }
}

/// Writes the drive's image to `file`, with nodes and guests from `fleet` and guest images from the folder `images`.
pub fn make(drive: &ScenarioDrive, fleet: &Path, images: &Path, file: &Path) -> Result<(), FixtureError> {
    if let Some(holds) = drive.holds {
        return match holds {
            Holds::Ext4 => empty_ext4(drive, file),
            _ => Ok(bare(holds, drive, file)?),
        };
    }
    if let Some(names) = &drive.store {
        return store(names, images, file);
    }
    let (node, mut config) = match &drive.guest {
        Some(guest) => (guest.clone(), ConfigTree::read_guest(fleet, guest, TIME)?),
        None => {
            let node = drive.node.clone().unwrap_or_default();
            (node.clone(), ConfigTree::read(fleet, &node, TIME)?)
        }
    };
    let mut put = |path: &str, bytes: Vec<u8>| -> Result<(), TreeError> {
        let path = TreePath::parse(path)?;
        if config.tree.lookup(&path).is_some() {
            config.tree.remove(&path)?;
        }
        config.tree.insert(&path, Node::file(Metadata::new(0o644).with_mtime(TIME), bytes.into())).map(|_| ())
    };
    if let Some(text) = &drive.marker {
        put(marker::FILE_NAME, text.clone().into_bytes())?;
    }
    if let Some(bytes) = drive.etc_filler {
        put("local/etc/filler", vec![0; bytes])?;
    }
    let image = ConfigImage { node, format: drive.format, partition: drive.partition, time: TIME };
    image.write_tree(&config.tree, file)?;
    if drive.dirty_journal {
        let mut bytes = std::fs::read(file).map_err(QemuError::file("reading", file))?;
        dirty(&mut bytes).map_err(|reason| FixtureError::Journal { drive: drive.name.clone(), reason })?;
        std::fs::write(file, bytes).map_err(QemuError::file("writing", file))?;
    }
    Ok(())
}

/// Puts the node's config into a partition behind all others of a medium, which grows by it.
pub fn append_config(medium: &Path, node: &str, fleet: &Path) -> Result<(), FixtureError> {
    let tree = ConfigTree::read(fleet, node, TIME)?.tree;
    let image = ConfigImage { node: node.to_owned(), format: ConfigFormat::Ext4, partition: 1, time: TIME };
    Ok(image.append_to(&tree, medium)?)
}

/// A file system that holds folders of guest images.
fn store(names: &[String], images: &Path, file: &Path) -> Result<(), FixtureError> {
    let metadata = |mode| Metadata::new(mode).with_mtime(TIME);
    let mut tree = Tree::new(metadata(0o755));
    for name in names {
        let folder = images.join(name);
        let reading = || QemuError::file("reading", &folder);
        for entry in std::fs::read_dir(&folder).map_err(reading())? {
            let path = entry.map_err(reading())?.path();
            let length = std::fs::metadata(&path).map_err(reading())?.len();
            let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let place = TreePath::parse(format!("{name}/{file_name}")).map_err(TreeError::from)?;
            tree.insert(&place, Node::file(metadata(0o644), Content::host(path, length)))?;
        }
    }
    let options = Ext4Options { uuid: *b"applbuild images", label: "images".to_owned(), size: None, time: TIME };
    let bytes = Ext4::plan(&tree, &options).and_then(|planned| planned.write()).map_err(FleetError::from)?;
    Ok(std::fs::write(file, bytes).map_err(QemuError::file("writing", file))?)
}

/// An ext4 file system on the whole drive, with nothing in it.
fn empty_ext4(drive: &ScenarioDrive, file: &Path) -> Result<(), FixtureError> {
    let label = drive.label.clone().unwrap_or_default();
    let size = Some(u64::from(drive.size_mib) << 20);
    let options = Ext4Options { uuid: uuid(drive), label, size, time: TIME };
    let tree = Tree::new(Metadata::new(0o755).with_mtime(TIME));
    let bytes = Ext4::plan(&tree, &options).and_then(|planned| planned.write()).map_err(FleetError::from)?;
    Ok(std::fs::write(file, bytes).map_err(QemuError::file("writing", file))?)
}

/// Another one for each drive, the same in each run.
fn uuid(drive: &ScenarioDrive) -> [u8; 16] {
    let digest = Sha256::digest(&drive.name);
    std::array::from_fn(|at| digest[at])
}

/// mkswap(8): a header in the first page (kernel: include/linux/swap.h, `union swap_header`), which the magic ends.
fn swap_header(drive: &ScenarioDrive) -> Vec<u8> {
    let mut page = vec![0; 4096];
    let pages = (drive.size_mib << 20) / 4096;
    page[1024..1028].copy_from_slice(&1u32.to_le_bytes());
    page[1028..1032].copy_from_slice(&(pages - 1).to_le_bytes());
    page[1036..1052].copy_from_slice(&uuid(drive));
    let label = drive.label.as_deref().unwrap_or_default().as_bytes();
    page[1052..1052 + label.len()].copy_from_slice(label);
    page[4086..].copy_from_slice(b"SWAPSPACE2");
    page
}

/// A drive with a signature and nothing behind it.
fn bare(holds: Holds, drive: &ScenarioDrive, file: &Path) -> Result<(), QemuError> {
    let swap = swap_header(drive);
    let (offset, bytes): (u64, &[u8]) = match holds {
        Holds::Nothing => (0, b""),
        // LUKS2 specification, 2.1: magic and version.
        Holds::Luks => (0, b"LUKS\xba\xbe\0\x02"),
        Holds::Swap => (0, &swap),
        Holds::Ntfs => (3, b"NTFS    "),
        // The superblock's magic, and a superblock of zeros around it.
        Holds::Ext4 | Holds::DamagedExt4 => (1024 + 0x38, &[0x53, 0xef]),
    };
    let out = std::fs::File::create(file).map_err(QemuError::file("making", file))?;
    out.set_len(u64::from(drive.size_mib) << 20)
        .and_then(|()| out.write_all_at(bytes, offset))
        .map_err(QemuError::file("writing", file))
}

const BLOCK: usize = 4096;
/// jbd2 (kernel: include/linux/jbd2.h), all fields big-endian.
const JOURNAL_MAGIC: [u8; 4] = 0xc03b_3998u32.to_be_bytes();
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const SUPERBLOCK_V2: u32 = 4;
const SAME_UUID_LAST_TAG: u16 = 2 | 8;

/// Puts a committed transaction into the journal of the ext4 file system in a
/// disk image: a block with the marker's text, with the word `replayed` as its
/// generation. Whoever replays it changes the disk, and boots another config.
pub fn dirty(disk: &mut [u8]) -> Result<(), &'static str> {
    let magic = 0xef53u16.to_le_bytes();
    let start = (0..disk.len()).step_by(1 << 20).find(|start| disk.get(start + 1080..start + 1082) == Some(&magic));
    let file_system = &mut disk[start.ok_or("there is no ext4 file system at a whole mebibyte")?..];
    let blocks = || 0..file_system.len() / BLOCK;
    let block = |number: usize| &file_system[number * BLOCK..(number + 1) * BLOCK];
    let head = [&JOURNAL_MAGIC[..], &SUPERBLOCK_V2.to_be_bytes()].concat();
    let journal = blocks().find(|&number| block(number).starts_with(&head)).ok_or("it has no journal")?;
    let marker = blocks().find(|&number| block(number).starts_with(b"schema = ")).ok_or("it holds no marker")?;
    let text = String::from_utf8_lossy(block(marker)).trim_end_matches('\0').to_owned();
    let generation = text.lines().find(|line| line.starts_with("generation")).ok_or("its marker has no generation")?;
    let mut changed = text.replace(generation, "generation = \"replayed\"").into_bytes();
    changed.resize(BLOCK, 0);
    let number = u32::try_from(marker).map_err(|_| "it is too large")?;

    let at = |index: usize| (journal + index) * BLOCK;
    let sequence = file_system[at(0) + 0x18..][..4].to_vec();
    // s_start: the journal's first block in use; 0 says that there is none.
    file_system[at(0) + 0x1c..][..4].copy_from_slice(&1u32.to_be_bytes());
    let header = |kind: u32| [&JOURNAL_MAGIC[..], &kind.to_be_bytes(), &sequence].concat();
    let tag = [&number.to_be_bytes()[..], &[0; 2], &SAME_UUID_LAST_TAG.to_be_bytes()].concat();
    let contents = [[header(DESCRIPTOR), tag].concat(), changed, header(COMMIT)];
    for (index, bytes) in (1..).zip(contents) {
        file_system[at(index)..][..BLOCK].fill(0);
        file_system[at(index)..][..bytes.len()].copy_from_slice(&bytes);
    }

    let superblock = &mut file_system[1024..2048];
    // s_feature_incompat: INCOMPAT_RECOVER.
    superblock[0x60] |= 4;
    let checksum = crc32c(&superblock[..0x3fc]);
    superblock[0x3fc..].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// CRC-32C as ext4 uses it: begun with ones, not inverted at the end.
fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0, |mut sum, &byte| {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
        }
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc32c() {
        // RFC 3720, B.4.
        assert_eq!(!crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn what_has_no_journal_is_an_error() {
        assert!(dirty(&mut [0; 8192]).is_err());
        let mut bare = vec![0; 2 << 20];
        bare[1080..1082].copy_from_slice(&[0x53, 0xef]);
        assert!(dirty(&mut bare).is_err());
    }
}
