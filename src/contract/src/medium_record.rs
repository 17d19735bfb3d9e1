//! What a medium records of its own bytes: how many they are, and a SHA-256 of each part that is no file.
//!
//! Files have theirs in `SHA256SUMS`, and the root image has its hash tree. The record covers all else that a boot needs:
//! boot code, descriptors, directories, the EFI system partition, the boot catalog, and the list of checksums itself. It lies
//! in the primary volume descriptor's application use area (ECMA-119, 8.4.32), as isomd5sum's does.
//!
//! | bytes | |
//! |---|---|
//! | 0 | magic |
//! | 16 | version, number of parts (32 bits each, little-endian) |
//! | 24 | SHA-256 of `SHA256SUMS` |
//! | 56 | SHA-256 of the block of the root image that holds verity's superblock; zeros without |
//! | 88 | of each part: where it ends (64 bits, little-endian), its SHA-256 |
//! | 480 | SHA-256 of the 480 bytes before it |

use crate::Sha256;
use sha2::Digest;
use std::ops::Range;

/// Where the record lies on the medium: in block 16, from byte 883 of the descriptor on.
pub const OFFSET: u64 = 16 * 2048 + 883;
/// The record's size in bytes.
pub const SIZE: usize = 512;
/// Bytes of the root image's block with verity's superblock, which the hash tree does not cover.
pub const SUPERBLOCK: usize = 4096;

/// The MBR's disk signature and the word behind it: no boot reads them, and some systems write one as soon as they see a disk.
const DISK_SIGNATURE: Range<u64> = 440..446;
const RECORD: Range<u64> = OFFSET..OFFSET + SIZE as u64;

const MAGIC: &[u8; 16] = b"applbuild medium";
const VERSION: u32 = 1;
const PARTS: usize = Part::ALL.len();
const FIRST_PART: usize = 88;
const PART_SIZE: usize = 40;
const OWN_SUM: usize = 480;
const CHUNK: usize = 1 << 20;

/// The parts that a medium is divided into, without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Boot code of the MBR.
    BootCode,
    /// Partition entries and boot signature.
    MbrTable,
    /// Header and entries, 33 sectors.
    Gpt,
    /// What else ECMA-119, 6.2.1 leaves to boot code.
    Reserved,
    /// Volume descriptors and directories.
    Descriptors,
    /// What lies between the first file and the last, and in none.
    BetweenFiles,
    /// The EFI system partition.
    Esp,
    /// Path tables and boot catalog.
    Catalog,
    /// Padding, and the backup of the partition table.
    End,
}

impl Part {
    /// All parts, in their order on the medium.
    pub const ALL: [Self; 9] = [
        Self::BootCode,
        Self::MbrTable,
        Self::Gpt,
        Self::Reserved,
        Self::Descriptors,
        Self::BetweenFiles,
        Self::Esp,
        Self::Catalog,
        Self::End,
    ];

    /// Where the parts before the volume descriptors end: the same on every medium.
    pub const FIXED_ENDS: [u64; 4] = [440, 512, 34 * 512, 16 * 2048];

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::BootCode => "boot code of the MBR",
            Self::MbrTable => "partition entries of the MBR",
            Self::Gpt => "partition table (GPT)",
            Self::Reserved => "rest of the system area",
            Self::Descriptors => "volume descriptors and directories",
            Self::BetweenFiles => "space between the files",
            Self::Esp => "EFI system partition",
            Self::Catalog => "path tables and boot catalog",
            Self::End => "padding and backup of the partition table",
        }
    }

    /// Whether it changes when a partition is added behind the image on a stick.
    pub fn is_table(self) -> bool {
        matches!(self, Self::MbrTable | Self::Gpt | Self::End)
    }
}

/// The end and the hash of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartSum {
    /// The first byte behind it.
    pub end: u64,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
}

/// The record of a medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediumRecord {
    /// SHA-256 of the list of checksums.
    pub checksums: Sha256,
    /// SHA-256 of the block with verity's superblock; zeros if there is none.
    pub superblock: Sha256,
    /// In the order of [`Part::ALL`].
    pub parts: [PartSum; PARTS],
}

/// Why a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant says in its message what it means")]
pub enum RecordError {
    /// It was changed.
    #[error("the record of the medium's parts does not match its own checksum")]
    Damaged,
    /// Another program wrote it.
    #[error("the record of the medium's parts has version {found}, expected {VERSION}")]
    Version { found: u32 },
}

impl MediumRecord {
    /// Bytes of the whole medium.
    pub fn length(&self) -> u64 {
        self.parts[PARTS - 1].end
    }

    /// Where a part lies, in bytes.
    pub fn range(&self, part: Part) -> Range<u64> {
        let index = part as usize;
        let start = if index == 0 { 0 } else { self.parts[index - 1].end };
        start..self.parts[index].end
    }

    /// The hash of a part.
    pub fn sha256(&self, part: Part) -> Sha256 {
        self.parts[part as usize].sha256
    }

    /// The record as it lies on the medium.
    pub fn to_bytes(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..16].copy_from_slice(MAGIC);
        bytes[16..20].copy_from_slice(&VERSION.to_le_bytes());
        bytes[20..24].copy_from_slice(&(PARTS as u32).to_le_bytes());
        bytes[24..56].copy_from_slice(self.checksums.as_bytes());
        bytes[56..88].copy_from_slice(self.superblock.as_bytes());
        for (place, part) in bytes[FIRST_PART..OWN_SUM].chunks_exact_mut(PART_SIZE).zip(&self.parts) {
            place[..8].copy_from_slice(&part.end.to_le_bytes());
            place[8..].copy_from_slice(part.sha256.as_bytes());
        }
        let sum = sha2::Sha256::digest(&bytes[..OWN_SUM]);
        bytes[OWN_SUM..].copy_from_slice(&sum);
        bytes
    }

    /// `None` where the area is empty: the medium has no record.
    pub fn parse(bytes: &[u8; SIZE]) -> Result<Option<Self>, RecordError> {
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if sha2::Sha256::digest(&bytes[..OWN_SUM])[..] != bytes[OWN_SUM..] || !bytes.starts_with(MAGIC) {
            return Err(RecordError::Damaged);
        }
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if (number(16), number(20)) != (VERSION, PARTS as u32) {
            return Err(RecordError::Version { found: number(16) });
        }
        let sum = |at: usize| Sha256::from(std::array::from_fn(|index| bytes[at + index]));
        let parts = std::array::from_fn(|index| {
            let at = FIRST_PART + index * PART_SIZE;
            PartSum { end: u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte])), sha256: sum(at + 8) }
        });
        if !parts.is_sorted_by_key(|part: &PartSum| part.end) {
            return Err(RecordError::Damaged);
        }
        Ok(Some(Self { checksums: sum(24), superblock: sum(56), parts }))
    }
}

/// SHA-256 of what lies in `range` and in none of `files`, which are in the order of their places, with the record itself and
/// the disk signature taken as zeros.
pub fn sum<E>(
    range: Range<u64>,
    files: &[Range<u64>],
    mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
) -> Result<Sha256, E> {
    let mut digest = sha2::Sha256::new();
    let mut buffer = vec![0; CHUNK.min(usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(CHUNK))];
    let mut at = range.start;
    // An empty file behind all others: the last gap ends where the range does.
    let last = range.end..range.end;
    for file in files.iter().chain([&last]) {
        while at < file.start.min(range.end) {
            let length = usize::try_from(file.start.min(range.end) - at).unwrap_or(CHUNK).min(CHUNK);
            let piece = &mut buffer[..length];
            read(at, piece)?;
            let end = at + length as u64;
            for zeros in [DISK_SIGNATURE, RECORD] {
                let zeros = zeros.start.clamp(at, end) - at..zeros.end.clamp(at, end) - at;
                piece[zeros.start as usize..zeros.end as usize].fill(0);
            }
            digest.update(piece);
            at = end;
        }
        at = at.max(file.end);
    }
    Ok(<[u8; 32]>::from(digest.finalize()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> MediumRecord {
        let part = |index| PartSum { end: 1000 * (index as u64 + 1), sha256: [index as u8; 32].into() };
        MediumRecord { checksums: [0xaa; 32].into(), superblock: [0xbb; 32].into(), parts: std::array::from_fn(part) }
    }

    #[test]
    fn reads_what_it_writes() {
        let record = record();
        assert_eq!(MediumRecord::parse(&record.to_bytes()), Ok(Some(record.clone())));
        assert_eq!((record.length(), record.range(Part::Esp)), (9000, 6000..7000));
        assert_eq!((record.range(Part::BootCode), record.sha256(Part::End)), (0..1000, Sha256::from([8; 32])));
        assert_eq!(MediumRecord::parse(&[0; SIZE]), Ok(None));
    }

    #[test]
    fn refuses_another_version_and_parts_out_of_order() {
        let signed = |mut bytes: [u8; SIZE]| {
            let sum = sha2::Sha256::digest(&bytes[..OWN_SUM]);
            bytes[OWN_SUM..].copy_from_slice(&sum);
            MediumRecord::parse(&bytes)
        };
        let mut bytes = record().to_bytes();
        bytes[16] = 2;
        assert_eq!(signed(bytes), Err(RecordError::Version { found: 2 }));
        let mut bytes = record().to_bytes();
        bytes[FIRST_PART + 1] = 0xff;
        assert_eq!(signed(bytes), Err(RecordError::Damaged));
        let mut bytes = record().to_bytes();
        bytes[0] = b'A';
        assert_eq!(signed(bytes), Err(RecordError::Damaged));
    }

    fn sum_of(bytes: &[u8], range: Range<u64>, files: &[Range<u64>]) -> Sha256 {
        let read = &mut |at: u64, piece: &mut [u8]| {
            piece.copy_from_slice(&bytes[at as usize..][..piece.len()]);
            Ok::<(), ()>(())
        };
        sum(range, files, read).unwrap()
    }

    #[test]
    fn the_record_itself_and_the_disk_signature_count_as_zeros() {
        for (start, length) in [(OFFSET as usize, SIZE), (440, 6)] {
            let mut bytes = vec![7; 40_000];
            let before = sum_of(&bytes, 0..40_000, &[]);
            bytes[start..][..length].fill(9);
            assert_eq!(sum_of(&bytes, 0..40_000, &[]), before);
            for beside in [start - 1, start + length] {
                bytes[beside] = 9;
                assert_ne!(sum_of(&bytes, 0..40_000, &[]), before);
                bytes[beside] = 7;
            }
        }
    }

    proptest! {
        #[test]
        fn any_damage_to_a_record_is_found(at in 0..SIZE, bit in 0..8u8) {
            let mut bytes = record().to_bytes();
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(MediumRecord::parse(&bytes), Err(RecordError::Damaged));
        }

        /// However the files overlap.
        #[test]
        fn a_sum_is_of_every_byte_that_is_in_no_file(
            bytes in proptest::collection::vec(any::<u8>(), 300),
            range in (0..300u64, 0..300u64),
            files in proptest::collection::vec((0..300u64, 0..60u64), 0..6),
        ) {
            let range = range.0.min(range.1)..range.0.max(range.1);
            let mut files: Vec<_> = files.into_iter().map(|(start, length)| start..start + length).collect();
            files.sort_by_key(|file| file.start);
            let outside = range.clone().filter(|at| !files.iter().any(|file| file.contains(at)));
            let outside: Vec<u8> = outside.map(|at| bytes[at as usize]).collect();
            let expected = Sha256::from(<[u8; 32]>::from(sha2::Sha256::digest(&outside)));
            prop_assert_eq!(sum_of(&bytes, range, &files), expected);
        }
    }
}
