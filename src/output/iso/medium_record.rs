//! The record of a medium's parts, by which the agent checks what is in no file.

use crate::format::iso::{BLOCK, IsoError, Patch, Volume};
use crate::util::sha256;
use appliance_contract::Sha256;
use appliance_contract::medium_record::{self, MediumRecord, Part, PartSum};
use std::io;
use std::os::unix::fs::FileExt;

/// Behind the catalog: 150 blocks of padding that hadris-iso writes, as xorriso does, and the 33 sectors of the backup
/// partition table in whole blocks.
const END_BLOCKS: u64 = 150 + 9;

/// What the record holds besides the sums of the parts.
#[derive(Debug, Clone, Copy)]
pub struct Files {
    /// SHA-256 of the list of checksums.
    pub checksums: Sha256,
    /// SHA-256 of the root image's block with verity's superblock; zeros without.
    pub superblock: Sha256,
}

/// The record of `volume`, which is written with `patches` and an EFI system partition of `esp` bytes.
pub fn make(volume: &Volume, patches: &[Patch], files: Files, esp: u64) -> Result<MediumRecord, IsoError> {
    let layout = volume.plan()?;
    let contents = layout.contents();
    let first = contents.iter().map(|content| content.start).min().unwrap_or_default();
    let files_end = contents.iter().map(|content| content.end).max().unwrap_or_default().next_multiple_of(BLOCK);
    let esp_end = (files_end + esp).next_multiple_of(BLOCK);
    let size = layout.size();
    let mut ends = Part::FIXED_ENDS.to_vec();
    ends.extend([first, files_end, esp_end, size.saturating_sub(END_BLOCKS * BLOCK), size]);
    let outline = volume.outline(patches)?;
    let mut read = |at: u64, buffer: &mut [u8]| outline.read_exact_at(buffer, at);
    let mut record = MediumRecord {
        checksums: files.checksums,
        superblock: files.superblock,
        parts: std::array::from_fn(|index| PartSum { end: ends[index], sha256: Sha256::default() }),
    };
    for part in Part::ALL {
        let sum = medium_record::sum(record.range(part), &contents, &mut read);
        record.parts[part as usize].sha256 = sum.map_err(|source| IsoError::Write { source })?;
    }
    Ok(record)
}

/// SHA-256 of the block with verity's superblock in the image that begins at `start` of `file`.
pub fn superblock(file: &impl FileExt, start: u64, hash_offset: u64) -> io::Result<Sha256> {
    let mut block = [0; medium_record::SUPERBLOCK];
    file.read_exact_at(&mut block, start + hash_offset)?;
    Ok(sha256::of(block))
}
