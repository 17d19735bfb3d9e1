//! GUID partition tables (UEFI 2.10, chapter 5) whose GUIDs the caller gives.

use super::boot_code;
use gpt::disk::LogicalBlockSize;
use gpt::partition::Partition as Entry;
use gpt::partition_types::{OperatingSystem, Type};
use gpt::{DiskDevice, GptConfig, GptError, mbr};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Bytes of the sectors that everything here counts in.
pub const SECTOR: u64 = 512;

/// An entry of the table (UEFI 2.10, 5.3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// What the partition is for.
    pub type_guid: Uuid,
    /// The partition's own GUID.
    pub guid: Uuid,
    /// At most 36 UTF-16 units.
    pub name: String,
    /// In sectors of [`SECTOR`] bytes.
    pub first_sector: u64,
    /// The last one that belongs to it.
    pub last_sector: u64,
}

/// Why a partition table cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum GptWriteError {
    /// The headers or tables cannot be written.
    #[error("writing a partition table for a disk of {sectors} sectors")]
    Table {
        /// Sectors of the disk.
        sectors: u64,
        /// The writer's error.
        source: GptError,
    },
    /// The protective MBR cannot be written (UEFI 2.10, 5.2.3).
    #[error("writing the protective MBR")]
    Mbr {
        /// The writer's error.
        source: mbr::MBRError,
    },
    /// A partition lies outside of the disk's usable sectors.
    #[error(
        "partition {name:?} lies in sectors {first} to {last}, expected them within {usable_first} to {usable_last} and apart from the others"
    )]
    Place {
        /// The partition's name.
        name: String,
        /// Its first sector.
        first: u64,
        /// Its last sector.
        last: u64,
        /// The disk's first usable sector.
        usable_first: u64,
        /// The disk's last usable sector.
        usable_last: u64,
    },
}

/// Writes protective MBR, both headers and both tables to `device`, a disk of `sectors` sectors. A BIOS that tries to boot
/// from it goes on to its next device.
pub fn write<D: DiskDevice>(
    device: &mut D,
    sectors: u64,
    disk_guid: Uuid,
    partitions: &[Partition],
) -> Result<(), GptWriteError> {
    let failed = |source| GptWriteError::Table { sectors, source };
    // The protective entry covers the disk but for its own sector, or all that 32 bits can say (UEFI 5.2.3).
    let covered = u32::try_from(sectors.saturating_sub(1)).unwrap_or(u32::MAX);
    let mut mbr = mbr::ProtectiveMBR::with_lb_size(covered);
    mbr.set_bootcode(boot_code::next_device());
    mbr.overwrite_lba0(device).map_err(|source| GptWriteError::Mbr { source })?;
    let config = GptConfig::new().writable(true).logical_block_size(LogicalBlockSize::Lb512);
    let mut disk = config.create_from_device(device, Some(disk_guid)).map_err(failed)?;
    let usable = (disk.header().first_usable, disk.header().last_usable);
    let mut taken = Vec::<(u64, u64)>::new();
    let mut entries = BTreeMap::new();
    for (number, partition) in (1..).zip(partitions) {
        let (first, last) = (partition.first_sector, partition.last_sector);
        let apart = taken.iter().all(|&(begin, end)| last < begin || first > end);
        if first < usable.0 || last > usable.1 || first > last || !apart {
            return Err(GptWriteError::Place {
                name: partition.name.clone(),
                first,
                last,
                usable_first: usable.0,
                usable_last: usable.1,
            });
        }
        taken.push((first, last));
        entries.insert(number, entry(partition));
    }
    disk.update_partitions(entries).map_err(failed)?;
    disk.write().map_err(failed)?;
    Ok(())
}

/// Adds a partition to the table that is on `device`, which may have grown since: the backup table moves to its end.
/// The MBR stays as it is, as a hybrid medium boots by it.
pub fn append<D: DiskDevice>(device: &mut D, sectors: u64, partition: &Partition) -> Result<(), GptWriteError> {
    let failed = |source| GptWriteError::Table { sectors, source };
    let config = GptConfig::new().writable(true).logical_block_size(LogicalBlockSize::Lb512);
    let mut disk = config.open_from_device(device).map_err(failed)?;
    let mut entries = disk.partitions().clone();
    let number = entries.keys().max().map_or(1, |last| last + 1);
    entries.insert(number, entry(partition));
    disk.update_partitions(entries).map_err(failed)?;
    disk.write().map_err(failed)?;
    Ok(())
}

fn entry(partition: &Partition) -> Entry {
    Entry {
        part_type_guid: Type { guid: partition.type_guid, os: OperatingSystem::None },
        part_guid: partition.guid,
        first_lba: partition.first_sector,
        last_lba: partition.last_sector,
        flags: 0,
        name: partition.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    const SECTORS: u64 = 8192;

    fn partition(first_sector: u64, last_sector: u64) -> Partition {
        Partition {
            type_guid: Uuid::from_u128(1),
            guid: Uuid::from_u128(2),
            name: "config".into(),
            first_sector,
            last_sector,
        }
    }

    fn disk(partitions: &[Partition]) -> Result<Vec<u8>, GptWriteError> {
        let mut bytes = vec![0; (SECTORS * SECTOR) as usize];
        write(&mut Cursor::new(&mut bytes), SECTORS, Uuid::from_u128(3), partitions)?;
        Ok(bytes)
    }

    #[test]
    fn reads_back_with_the_guids_given() {
        let bytes = disk(&[partition(2048, 4095)]).unwrap();
        assert_eq!(bytes, disk(&[partition(2048, 4095)]).unwrap());
        let read = GptConfig::new().open_from_device(Cursor::new(bytes)).unwrap();
        let found = &read.partitions()[&1];
        assert_eq!((*read.guid(), found.part_guid), (Uuid::from_u128(3), Uuid::from_u128(2)));
        assert_eq!((found.first_lba, found.last_lba), (2048, 4095));
    }

    #[test]
    fn a_bios_that_boots_from_it_goes_on_to_the_next_device() {
        let bytes = disk(&[partition(2048, 4095)]).unwrap();
        assert_eq!(bytes[..boot_code::SIZE], boot_code::next_device());
        assert_eq!(bytes[510..512], [0x55, 0xaa]);
    }

    #[test]
    fn refuses_partitions_outside_the_disk_or_over_each_other() {
        for partitions in
            [vec![partition(10, 4095)], vec![partition(2048, SECTORS)], vec![partition(100, 300), partition(300, 400)]]
        {
            assert!(matches!(disk(&partitions), Err(GptWriteError::Place { .. })), "{partitions:?}");
        }
    }
}
