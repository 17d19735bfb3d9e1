//! dm-verity's superblock, and the table line that it leads to.
//!
//! The superblock (cryptsetup's "on-disk format" of dm-verity, version 1) takes
//! the first 512 bytes of the hash area; the hash tree begins at the next hash
//! block. Nothing in it is trusted: the root hash comes from the kernel command
//! line, and every number is checked against the device.

use crate::system::sys::Target;
use appliance_contract::Sha256;
use appliance_shared::read_at::{ReadAt, array_at, le16, le32, le64};
use std::io;
use std::path::Path;

/// The only block size that applbuild makes.
pub const BLOCK: u64 = 4096;
const SECTOR: u64 = 512;

/// The superblock of a hash tree (cryptsetup's on-disk format, version 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Number of blocks with data.
    pub data_blocks: u64,
    /// Is hashed before each block.
    pub salt: Vec<u8>,
    /// Where the superblock begins, in bytes.
    pub offset: u64,
}

/// Why a root image cannot be verified.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum VerityError {
    #[error("reading the root image: {0}")]
    Read(io::Error),
    #[error("the root image is no squashfs: it begins with {0:02x?}, expected \"hsqs\"")]
    NotSquashfs([u8; 4]),
    #[error("the root image ends before its {what}: {size} bytes, expected at least {expected}")]
    Short { what: &'static str, size: u64, expected: u64 },
    #[error("the verity superblock at byte {offset}: {field} is {found}, expected {expected}")]
    Field { offset: u64, field: &'static str, found: String, expected: String },
}

impl From<io::Error> for VerityError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// Length of the squashfs (its superblock's `bytes_used`), rounded up to whole
/// blocks: where the verity superblock begins.
pub fn hash_offset(image: &dyn ReadAt) -> Result<u64, VerityError> {
    let size = image.size()?;
    let head =
        array_at::<96>(image, 0)?.ok_or(VerityError::Short { what: "squashfs superblock", size, expected: 96 })?;
    if &head[..4] != b"hsqs" {
        return Err(VerityError::NotSquashfs([head[0], head[1], head[2], head[3]]));
    }
    let used = le64(&head, 40);
    used.checked_next_multiple_of(BLOCK).filter(|&end| end <= size).ok_or(VerityError::Short {
        what: "file system",
        size,
        expected: used,
    })
}

impl Superblock {
    /// Finds the superblock behind the squashfs.
    pub fn read(image: &dyn ReadAt) -> Result<Self, VerityError> {
        let offset = hash_offset(image)?;
        let size = image.size()?;
        let bytes = array_at::<512>(image, offset)?.ok_or(VerityError::Short {
            what: "verity superblock",
            size,
            expected: offset + 512,
        })?;
        let wrong = |field, found: String, expected: &str| VerityError::Field {
            offset,
            field,
            found,
            expected: expected.to_owned(),
        };
        if &bytes[..8] != b"verity\0\0" {
            return Err(wrong("the signature", format!("{:02x?}", &bytes[..8]), "\"verity\""));
        }
        let number = |field, at, expected: u32| match le32(&bytes, at) {
            found if found == expected => Ok(()),
            found => Err(wrong(field, found.to_string(), &expected.to_string())),
        };
        number("the version", 8, 1)?;
        number("the hash type", 12, 1)?;
        let algorithm: Vec<u8> = bytes[32..64].iter().copied().take_while(|&byte| byte != 0).collect();
        if algorithm != b"sha256" {
            return Err(wrong("the algorithm", String::from_utf8_lossy(&algorithm).into_owned(), "sha256"));
        }
        number("the data block size", 64, BLOCK as u32)?;
        number("the hash block size", 68, BLOCK as u32)?;
        let data_blocks = le64(&bytes, 72);
        if data_blocks != offset / BLOCK {
            return Err(wrong("the number of data blocks", data_blocks.to_string(), &(offset / BLOCK).to_string()));
        }
        let salt_size = usize::from(le16(&bytes, 80));
        let salt = bytes[88..344].get(..salt_size);
        let salt = salt.ok_or_else(|| wrong("the salt's size", salt_size.to_string(), "256 at most"))?;
        let superblock = Self { data_blocks, salt: salt.to_vec(), offset };
        let end = superblock.end();
        if size < end {
            return Err(VerityError::Short { what: "hash tree's end", size, expected: end });
        }
        Ok(superblock)
    }

    /// Where the hash tree ends, and with it the image: a level's blocks hold the hashes of the level below, 128 each.
    fn end(&self) -> u64 {
        let (mut level, mut blocks) = (self.data_blocks, 1);
        while level > 1 {
            level = level.div_ceil(BLOCK / 32);
            blocks += level;
        }
        self.offset + blocks * BLOCK
    }

    /// The table of the verified device: data and hashes lie on the same `device`.
    /// Without options a block that does not match reads as an I/O error.
    pub fn target(&self, device: &Path, root_hash: Sha256) -> Target {
        let salt = if self.salt.is_empty() { "-".to_owned() } else { hex(&self.salt) };
        Target {
            kind: "verity",
            sectors: self.data_blocks * (BLOCK / SECTOR),
            parameters: format!(
                "1 {device} {device} {BLOCK} {BLOCK} {blocks} {hashes} sha256 {root} {salt}",
                device = device.display(),
                blocks = self.data_blocks,
                // The superblock takes the hash area's first block.
                hashes = self.offset / BLOCK + 1,
                root = root_hash,
            ),
        }
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What dm-verity last wrote to the kernel's log about a block: `data block 17
/// is corrupted`, `metadata block 3 is corrupted`.
pub fn damage_in_log(log: &[String]) -> Option<&str> {
    let line = log.iter().rev().find(|line| line.contains("device-mapper: verity") && line.contains("corrupted"))?;
    ["metadata block ", "data block "].iter().find_map(|word| Some(&line[line.find(word)?..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(used: u64, edit: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let offset = used.next_multiple_of(BLOCK) as usize;
        let mut image = vec![0; offset + 2 * BLOCK as usize];
        image[..4].copy_from_slice(b"hsqs");
        image[40..48].copy_from_slice(&used.to_le_bytes());
        let block = &mut image[offset..];
        block[..6].copy_from_slice(b"verity");
        block[8] = 1;
        block[12] = 1;
        block[32..38].copy_from_slice(b"sha256");
        block[64..68].copy_from_slice(&4096u32.to_le_bytes());
        block[68..72].copy_from_slice(&4096u32.to_le_bytes());
        block[72..80].copy_from_slice(&(offset as u64 / BLOCK).to_le_bytes());
        block[80] = 2;
        block[88..90].copy_from_slice(&[0xab, 0xcd]);
        edit(block);
        image
    }

    #[test]
    fn leads_to_the_table_that_veritysetup_makes() {
        let superblock = Superblock::read(&image(9000, |_| {})).unwrap();
        let target = superblock.target(Path::new("/dev/loop0"), [0x11; 32].into());
        assert_eq!(target.sectors, 24);
        let root = "11".repeat(32);
        assert_eq!(target.parameters, format!("1 /dev/loop0 /dev/loop0 4096 4096 3 4 sha256 {root} abcd"));
    }

    #[test]
    fn refuses_what_does_not_fit_the_image() {
        type Edit = fn(&mut [u8]);
        let cases: [(Edit, &str); 6] = [
            (|b| b[0] = 0, "the signature is"),
            (|b| b[8] = 2, "the version is 2, expected 1"),
            (|b| b[32..38].copy_from_slice(b"sha512"), "the algorithm is sha512, expected sha256"),
            (|b| b[64] = 1, "the data block size is 4097, expected 4096"),
            (|b| b[72] = 9, "the number of data blocks is 9, expected 3"),
            (|b| b[80..82].copy_from_slice(&[1, 1]), "the salt's size is 257, expected 256 at most"),
        ];
        for (edit, said) in cases {
            let error = Superblock::read(&image(9000, edit)).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    /// Levels of 128 hashes: above 129 data blocks stand two blocks and one.
    #[test]
    fn refuses_an_image_that_lacks_the_end_of_its_hash_tree() {
        for (data_blocks, tree) in [(1, 0), (2, 1), (128, 1), (129, 3), (128 * 128 + 1, 132)] {
            let mut image = image(data_blocks * BLOCK, |_| {});
            let end = (data_blocks + 1 + tree) * BLOCK;
            image.resize(end as usize, 0);
            Superblock::read(&image).unwrap();
            image.truncate(end as usize - 1);
            let error = Superblock::read(&image).unwrap_err().to_string();
            assert!(error.contains(&format!("expected at least {end}")), "{error}");
        }
    }

    #[test]
    fn refuses_a_truncated_image_and_a_foreign_one() {
        let mut short = image(9000, |_| {});
        short.truncate(8192);
        assert!(Superblock::read(&short).unwrap_err().to_string().contains("ends before its file system"));
        let error = Superblock::read(&vec![0u8; 8192]).unwrap_err().to_string();
        assert!(error.contains("no squashfs"), "{error}");
    }

    #[test]
    fn finds_the_block_in_the_log() {
        let log = [
            "device-mapper: verity: sha256 using implementation \"sha256-generic\"".to_owned(),
            "device-mapper: verity: 7:0: data block 17 is corrupted".to_owned(),
        ];
        assert_eq!(damage_in_log(&log), Some("data block 17 is corrupted"));
        assert_eq!(damage_in_log(&log[..1]), None);
        let log = ["device-mapper: verity: 7:0: metadata block 3 is corrupted".to_owned()];
        assert_eq!(damage_in_log(&log), Some("metadata block 3 is corrupted"));
    }
}
