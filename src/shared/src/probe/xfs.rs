//! XFS (XFS Algorithms & Data Structures, "Superblocks"); big-endian.

use super::view::View;
use super::{FileSystem, FileSystemKind, label, uuid};
use crate::read_at::be32;
use std::io;

const MAGIC: &[u8] = b"XFSB";

pub fn file_system(view: &View) -> io::Result<Option<FileSystem>> {
    let Some(block) = view.at::<512>(0)? else { return Ok(None) };
    let block_size = be32(&block, 4);
    if !block.starts_with(MAGIC) || !block_size.is_power_of_two() || !(512..=65536).contains(&block_size) {
        return Ok(None);
    }
    Ok(Some(FileSystem {
        kind: FileSystemKind::Xfs,
        uuid: uuid(&block[32..48]),
        label: label(&block[108..120]),
        needs_recovery: false,
    }))
}
