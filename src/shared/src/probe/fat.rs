//! FAT12, FAT16, FAT32 (Microsoft, "FAT: General Overview of On-Disk Format" 1.03).

use super::view::View;
use super::{FileSystem, FileSystemKind, label};
use crate::read_at::{le16, le32};
use std::io;

const ENTRY: usize = 32;
const VOLUME_ID: u8 = 0x08;
const LONG_NAME: u8 = 0x0f;
const DELETED: u8 = 0xe5;
const NO_NAME: &[u8; 11] = b"NO NAME    ";
/// Sectors of the root directory that are searched for the label; it is among the first entries.
const MAX_ROOT_SECTORS: u64 = 64;

pub fn file_system(view: &View) -> io::Result<Option<FileSystem>> {
    let Some(boot) = view.at::<512>(0)? else { return Ok(None) };
    let Some(layout) = Layout::read(&boot, view.size()) else { return Ok(None) };
    let fields = if layout.fat32 { 64 } else { 36 };
    // An extended boot record (signature 0x29, or 0x28 without a label) holds serial number and label.
    let (uuid, boot_label) = match boot[fields + 2] {
        0x29 => (serial(&boot[fields + 3..fields + 7]), Some(&boot[fields + 7..fields + 18])),
        0x28 => (serial(&boot[fields + 3..fields + 7]), None),
        _ => (None, None),
    };
    let label = match layout.root_label(view)? {
        Some(found) => Some(found),
        None => boot_label.filter(|bytes| bytes != NO_NAME).and_then(label),
    };
    Ok(Some(FileSystem { kind: FileSystemKind::Fat, uuid, label, needs_recovery: false }))
}

fn serial(bytes: &[u8]) -> Option<String> {
    let number = le32(bytes, 0);
    (number != 0).then(|| format!("{:04X}-{:04X}", number >> 16, number & 0xffff))
}

struct Layout {
    fat32: bool,
    sector: u64,
    root_start: u64,
    root_sectors: u64,
}

impl Layout {
    fn read(boot: &[u8; 512], size: u64) -> Option<Self> {
        let jump = matches!(boot[0], 0xeb | 0xe9);
        let sector = u64::from(le16(boot, 11));
        let per_cluster = u64::from(boot[13]);
        let reserved = u64::from(le16(boot, 14));
        let fats = u64::from(boot[16]);
        let root_entries = u64::from(le16(boot, 17));
        let media = boot[21];
        let short_length = u64::from(le16(boot, 22));
        let fat32 = short_length == 0;
        let fat_length = if fat32 { u64::from(le32(boot, 36)) } else { short_length };
        let sectors = match le16(boot, 19) {
            0 => u64::from(le32(boot, 32)),
            short => u64::from(short),
        };
        let good = jump
            && boot[510..512] == [0x55, 0xaa]
            && matches!(sector, 512 | 1024 | 2048 | 4096)
            && per_cluster.is_power_of_two()
            && reserved != 0
            && (1..=4).contains(&fats)
            && (media == 0xf0 || media >= 0xf8)
            && fat_length != 0
            && (fat32 == (root_entries == 0))
            && sectors != 0;
        if !good {
            return None;
        }
        let root_dir_sectors = (root_entries * ENTRY as u64).div_ceil(sector);
        let data_start = reserved + fats * fat_length + root_dir_sectors;
        // A file system larger than its device is somebody else's boot sector or a cut-off copy;
        // the kernel refuses it.
        if data_start > sectors || sectors.checked_mul(sector)? > size {
            return None;
        }
        let (root_start, root_sectors) = if fat32 {
            let cluster = u64::from(le32(boot, 44)).checked_sub(2)?;
            (data_start + cluster.checked_mul(per_cluster)?, per_cluster)
        } else {
            (reserved + fats * fat_length, root_dir_sectors)
        };
        Some(Self { fat32, sector, root_start, root_sectors: root_sectors.min(MAX_ROOT_SECTORS) })
    }

    /// The label is an entry of the root directory; what the boot sector holds may be older.
    fn root_label(&self, view: &View) -> io::Result<Option<String>> {
        let pieces = self.root_sectors * self.sector / 512;
        for piece in 0..pieces {
            let Some(bytes) = view.at::<512>(self.root_start * self.sector + piece * 512)? else { break };
            for entry in bytes.chunks_exact(ENTRY) {
                match (entry[0], entry[11]) {
                    (0, _) => return Ok(None),
                    (DELETED, _) | (_, LONG_NAME) => {}
                    (_, attributes) if attributes & VOLUME_ID != 0 => return Ok(label(&entry[..11])),
                    _ => {}
                }
            }
        }
        Ok(None)
    }
}
