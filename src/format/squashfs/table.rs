//! Tables that are looked up by number: metadata blocks, then a list of where
//! each of them begins in the image. The superblock points at the list.

use super::SquashfsError;
use super::compressor::Compressor;
use super::metadata::MetadataWriter;

/// The bytes of a table that stands at `position` of the image, and where in
/// the image its list stands.
pub(super) fn encode(
    entries: impl IntoIterator<Item = impl AsRef<[u8]>>,
    position: u64,
    compressor: Compressor,
) -> Result<(Vec<u8>, u64), SquashfsError> {
    let mut blocks = MetadataWriter::new(compressor);
    for entry in entries {
        blocks.write(entry.as_ref())?;
    }
    let (mut bytes, starts) = blocks.finish()?;
    let list = position + bytes.len() as u64;
    for start in starts {
        bytes.extend((position + start).to_le_bytes());
    }
    Ok((bytes, list))
}
