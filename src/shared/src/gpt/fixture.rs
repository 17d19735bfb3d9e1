//! Disks with a partition table, for tests.

use super::{CRC_32, SIGNATURE};

const ENTRIES: usize = 128;
/// 0FC63DAF-8483-4772-8E79-3D69D8477DE4, Linux data, as it lies on disk.
pub const LINUX: [u8; 16] =
    [0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4];

/// A disk of `sectors` sectors of 512 bytes with this table, both copies.
pub fn disk(sectors: u64, partitions: &[(u64, u64)]) -> Vec<u8> {
    let partitions: Vec<_> = partitions.iter().map(|&(first, last)| (LINUX, first, last)).collect();
    disk_of_types(sectors, &partitions)
}

/// [`disk`] with the type of each partition.
pub fn disk_of_types(sectors: u64, partitions: &[([u8; 16], u64, u64)]) -> Vec<u8> {
    let mut image = vec![0; sectors as usize * 512];
    write(&mut image, partitions);
    image
}

/// Writes both copies of a table with these types, first and last sectors.
pub fn write(image: &mut [u8], partitions: &[([u8; 16], u64, u64)]) {
    let sectors = image.len() as u64 / 512;
    let mut entries = vec![0; ENTRIES * 128];
    for (entry, (number, (kind, first, last))) in entries.chunks_exact_mut(128).zip(partitions.iter().enumerate()) {
        entry[..16].copy_from_slice(kind);
        entry[16] = number as u8 + 1;
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
        for (unit, c) in entry[56..].chunks_exact_mut(2).zip("con\u{fc}".encode_utf16()) {
            unit.copy_from_slice(&c.to_le_bytes());
        }
    }
    for (lba, entries_lba) in [(1, 2), (sectors - 1, sectors - 33)] {
        let mut header = [0; 92];
        header[..8].copy_from_slice(SIGNATURE);
        header[12..16].copy_from_slice(&92u32.to_le_bytes());
        header[24..32].copy_from_slice(&lba.to_le_bytes());
        header[32..40].copy_from_slice(&(sectors - lba).to_le_bytes());
        header[72..80].copy_from_slice(&entries_lba.to_le_bytes());
        header[80..84].copy_from_slice(&(ENTRIES as u32).to_le_bytes());
        header[84..88].copy_from_slice(&128u32.to_le_bytes());
        header[88..92].copy_from_slice(&CRC_32.checksum(&entries).to_le_bytes());
        let sum = CRC_32.checksum(&header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        image[lba as usize * 512..][..92].copy_from_slice(&header);
        image[entries_lba as usize * 512..][..entries.len()].copy_from_slice(&entries);
    }
}
