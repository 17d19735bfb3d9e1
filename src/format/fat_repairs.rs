//! Corrects the output of fatfs 0.3.6 where it violates Microsoft's FAT specification (1.03) or `fsck.fat` complains:
//!
//! - It writes a long-name entry before each of `.` and `..`, which must be a directory's first two entries ("Directory
//!   entries"). On FAT32 its `..` names the root's cluster; 0 is required for the root.
//! - A name such as `.ssh` gets a short name whose first part is blank ("FAT Long Directory Entries").
//! - It leaves the count of free clusters unknown ("FSInfo Sector Structure").

use std::collections::HashSet;

/// Bytes of a directory entry.
const ENTRY: usize = 32;
const DIRECTORY: u8 = 0x10;
/// Attributes of a long-name entry.
const LONG_NAME: u8 = 0x0f;
/// First byte of a free entry that is followed by others.
const FREE: u8 = 0xe5;

/// Offsets of the parts of a FAT file system, from its boot sector (the specification, "BPB").
struct Layout {
    sector: usize,
    cluster_size: usize,
    clusters: usize,
    fat: usize,
    root: usize,
    root_size: usize,
    data: usize,
    /// The root directory's first cluster, on FAT32, otherwise 0.
    root_cluster: u32,
    bits: u32,
}

/// Corrects every directory of the file system in `image`, and its count of free clusters.
pub fn repair(image: &mut [u8]) {
    let Some(layout) = Layout::read(image) else { return };
    let mut pending = vec![layout.root_cluster];
    while let Some(cluster) = pending.pop() {
        if cluster != layout.root_cluster {
            let start = layout.offset(cluster);
            let Some(slots) = image.get_mut(start..start + 4 * ENTRY) else { continue };
            repair_dots(slots, layout.root_cluster);
        }
        let slots = layout.slots(image, cluster);
        repair_short_names(image, &slots);
        let directories = slots
            .iter()
            .map(|&slot| &image[slot..slot + ENTRY])
            .filter(|entry| ![FREE, b'.'].contains(&entry[0]) && entry[11] != LONG_NAME && entry[11] & DIRECTORY != 0);
        pending.extend(directories.map(first_cluster));
    }
    if layout.bits == 32 {
        layout.write_free_count(image);
    }
}

/// Puts `.` and `..` into the first two slots of a directory.
fn repair_dots(slots: &mut [u8], root_cluster: u32) {
    if slots[11] == LONG_NAME && slots[2 * ENTRY + 11] == LONG_NAME && slots[ENTRY] == b'.' {
        slots.copy_within(ENTRY..2 * ENTRY, 0);
        slots.copy_within(3 * ENTRY..4 * ENTRY, ENTRY);
        slots[2 * ENTRY..].fill(0);
        slots[2 * ENTRY] = FREE;
        slots[3 * ENTRY] = FREE;
    }
    let parent = &mut slots[ENTRY..2 * ENTRY];
    if parent.starts_with(b"..") && first_cluster(parent) == root_cluster {
        parent[20..22].fill(0);
        parent[26..28].fill(0);
    }
}

/// Replaces each short name of a directory that begins with a blank: `.ssh` gets `SSH~1`.
fn repair_short_names(image: &mut [u8], slots: &[usize]) {
    let is_short = |image: &[u8], slot: usize| image[slot] != FREE && image[slot + 11] != LONG_NAME;
    let name = |image: &[u8], slot: usize| -> [u8; 11] { std::array::from_fn(|index| image[slot + index]) };
    let mut taken: HashSet<[u8; 11]> =
        slots.iter().filter(|&&slot| is_short(image, slot)).map(|&slot| name(image, slot)).collect();
    for (index, &slot) in slots.iter().enumerate() {
        if !is_short(image, slot) || image[slot] != b' ' {
            continue;
        }
        let extension = name(image, slot)[8..].trim_ascii_end().to_vec();
        let Some(new) = (1..1_000_000).map(|number| numbered(&extension, number)).find(|name| taken.insert(*name))
        else {
            continue;
        };
        image[slot..slot + 11].copy_from_slice(&new);
        // The entries of its long name precede it and contain its checksum.
        let checksum = new.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        let long = slots[..index].iter().rev().take_while(|&&long| image[long + 11] == LONG_NAME).count();
        for &long in &slots[index - long..index] {
            image[long + 13] = checksum;
        }
    }
}

/// A short name of at most eight characters: the letters are truncated to make room for the number.
fn numbered(letters: &[u8], number: u32) -> [u8; 11] {
    let tail = format!("~{number}");
    let mut name = [b' '; 11];
    let length = letters.len().min(8 - tail.len());
    name[..length].copy_from_slice(&letters[..length]);
    name[length..length + tail.len()].copy_from_slice(tail.as_bytes());
    name
}

fn first_cluster(entry: &[u8]) -> u32 {
    let half = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
    half(20) << 16 | half(26)
}

impl Layout {
    fn read(image: &[u8]) -> Option<Self> {
        let half = |at: usize| Some(usize::from(u16::from_le_bytes(image.get(at..at + 2)?.try_into().ok()?)));
        let word = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?));
        let sector = half(11)?;
        let per_cluster = usize::from(*image.get(13)?);
        let fats = usize::from(*image.get(16)?);
        let fat_sectors = match half(22)? {
            0 => word(36)? as usize,
            sectors => sectors,
        };
        let sectors = match half(19)? {
            0 => word(32)? as usize,
            sectors => sectors,
        };
        let root_size = half(17)? * ENTRY;
        let fat = half(14)? * sector;
        let root = fat + fats * fat_sectors * sector;
        let data = root + root_size;
        let cluster_size = sector * per_cluster;
        // The number of clusters alone determines the type of FAT.
        let clusters = (sectors * sector).checked_sub(data)?.checked_div(cluster_size)?;
        let bits = if clusters < 4085 {
            12
        } else if clusters < 65525 {
            16
        } else {
            32
        };
        let root_cluster = if bits == 32 { word(44)? } else { 0 };
        Some(Self { sector, cluster_size, clusters, fat, root, root_size, data, root_cluster, bits })
    }

    fn offset(&self, cluster: u32) -> usize {
        self.data + (cluster as usize).saturating_sub(2) * self.cluster_size
    }

    /// Offsets of a directory's entries up to its end marker. Cluster 0 is the root of FAT16.
    fn slots(&self, image: &[u8], cluster: u32) -> Vec<usize> {
        let mut slots = Vec::new();
        if cluster == 0 {
            slots.extend((self.root..self.root + self.root_size).step_by(ENTRY));
        } else {
            // A chain has at most as many links as there are clusters; the file system is our own.
            let mut next = Some(cluster);
            while let Some(cluster) = next {
                let start = self.offset(cluster);
                if start + self.cluster_size > image.len() {
                    break;
                }
                slots.extend((start..start + self.cluster_size).step_by(ENTRY));
                next = self.next(image, cluster);
            }
        }
        let end = slots.iter().position(|&slot| image[slot] == 0).unwrap_or(slots.len());
        slots.truncate(end);
        slots
    }

    /// Writes the count to the FSInfo sector and to its copy after the backup boot sector.
    fn write_free_count(&self, image: &mut [u8]) {
        let entries = image[self.fat..].chunks_exact(4).skip(2).take(self.clusters);
        let is_free = |entry: &[u8]| entry[..3] == [0; 3] && entry[3] & 0x0f == 0;
        let free = entries.filter(|entry| is_free(entry)).count() as u32;
        let half = |at: usize| usize::from(u16::from_le_bytes([image[at], image[at + 1]]));
        let (info, copy) = (half(48), half(50) + half(48));
        for place in [info * self.sector, copy * self.sector] {
            if image[place..].starts_with(b"RRaA") {
                image[place + 488..place + 492].copy_from_slice(&free.to_le_bytes());
            }
        }
    }

    fn next(&self, image: &[u8], cluster: u32) -> Option<u32> {
        let at = self.fat + cluster as usize * self.bits as usize / 8;
        let half = u32::from(u16::from_le_bytes(image.get(at..at + 2)?.try_into().ok()?));
        let value = match self.bits {
            // Two entries share three bytes.
            12 if cluster % 2 == 1 => half >> 4,
            12 => half & 0xfff,
            16 => half,
            _ => u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?) & 0x0fff_ffff,
        };
        let end = 0x0fff_fff7_u32 & ((1_u64 << self.bits.min(28)) - 1) as u32;
        (2..end).contains(&value).then_some(value)
    }
}
