//! Mends the directories that fatfs 0.3.6 makes.
//!
//! It writes a long-name entry before each of `.` and `..`, so that they stand in the second and fourth
//! slot of a directory; they must be the first two (Microsoft's FAT specification, "Directory entries"), and
//! `fsck.fat` calls every such directory broken.

/// Bytes of a directory entry.
const ENTRY: usize = 32;
const DIRECTORY: u8 = 0x10;
/// Attributes of a long-name entry.
const LONG_NAME: u8 = 0x0f;
/// First byte of a free entry with others behind it.
const FREE: u8 = 0xe5;

/// Where the parts of a FAT file system lie, from its boot sector (the specification, "BPB").
struct Layout {
    cluster_size: usize,
    fat: usize,
    root: usize,
    root_size: usize,
    data: usize,
    /// The root directory's first cluster, on FAT32.
    root_cluster: u32,
    bits: u32,
}

/// Puts `.` and `..` into the first two slots of every directory of the file system in `image`.
pub fn mend(image: &mut [u8]) {
    let Some(layout) = Layout::read(image) else { return };
    let mut pending = Vec::new();
    if layout.root_cluster == 0 {
        collect(&image[layout.root..layout.root + layout.root_size], &mut pending);
    } else {
        layout.walk(image, layout.root_cluster, &mut pending);
    }
    while let Some(cluster) = pending.pop() {
        let start = layout.offset(cluster);
        let Some(slots) = image.get_mut(start..start + 4 * ENTRY) else { continue };
        if slots[11] == LONG_NAME && slots[2 * ENTRY + 11] == LONG_NAME && slots[ENTRY] == b'.' {
            slots.copy_within(ENTRY..2 * ENTRY, 0);
            slots.copy_within(3 * ENTRY..4 * ENTRY, ENTRY);
            slots[2 * ENTRY..].fill(0);
            slots[2 * ENTRY] = FREE;
            slots[3 * ENTRY] = FREE;
        }
        layout.walk(image, cluster, &mut pending);
    }
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
        // The count of clusters alone tells the kind of FAT.
        let clusters = (sectors * sector).checked_sub(data)?.checked_div(cluster_size)?;
        let bits = if clusters < 4085 {
            12
        } else if clusters < 65525 {
            16
        } else {
            32
        };
        let root_cluster = if bits == 32 { word(44)? } else { 0 };
        Some(Self { cluster_size, fat, root, root_size, data, root_cluster, bits })
    }

    fn offset(&self, cluster: u32) -> usize {
        self.data + (cluster as usize).saturating_sub(2) * self.cluster_size
    }

    /// Adds the directories below the one that begins at `cluster`.
    fn walk(&self, image: &[u8], cluster: u32, pending: &mut Vec<u32>) {
        let mut next = Some(cluster);
        // A chain has at most as many links as there are clusters; the file system is our own.
        while let Some(cluster) = next {
            let start = self.offset(cluster);
            let Some(entries) = image.get(start..start + self.cluster_size) else { return };
            collect(entries, pending);
            next = self.next(image, cluster);
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

/// The first clusters of the directories that `entries` name.
fn collect(entries: &[u8], pending: &mut Vec<u32>) {
    for entry in entries.chunks_exact(ENTRY).take_while(|entry| entry[0] != 0) {
        let named = ![FREE, b'.'].contains(&entry[0]) && entry[11] != LONG_NAME;
        if named && entry[11] & DIRECTORY != 0 {
            let half = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
            pending.push(half(20) << 16 | half(26));
        }
    }
}
