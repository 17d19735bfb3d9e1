//! Lookup tables: metadata blocks, then a list of their offsets in the image. The
//! superblock points to the list.

use super::SquashfsError;
use super::compressor::Compressor;
use super::metadata::MetadataWriter;

/// Encodes a table at offset `position` of the image. Returns its bytes and the offset of its list.
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
