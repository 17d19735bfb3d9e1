//! ext2, ext3, ext4 (kernel: Documentation/filesystems/ext4/super.rst).

use super::view::View;
use super::{Contents, FileSystem, FileSystemKind, Member, label, uuid};
use crate::read_at::{le16, le32};
use std::io;

const OFFSET: u64 = 1024;
const MAGIC: u16 = 0xef53;
const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_JOURNAL_DEV: u32 = 0x8;
/// 2^(10 + 6) = 64 KiB is the largest block.
const MAX_LOG_BLOCK_SIZE: u32 = 6;

pub fn contents(view: &View) -> io::Result<Option<Contents>> {
    let Some(block) = view.at::<1024>(OFFSET)? else { return Ok(None) };
    if le16(&block, 0x38) != MAGIC || le32(&block, 0x18) > MAX_LOG_BLOCK_SIZE {
        return Ok(None);
    }
    let incompat = le32(&block, 0x60);
    if incompat & INCOMPAT_JOURNAL_DEV != 0 {
        return Ok(Some(Contents::Member(Member::ExtJournal)));
    }
    Ok(Some(Contents::FileSystem(FileSystem {
        kind: FileSystemKind::Ext4,
        uuid: uuid(&block[0x68..0x78]),
        label: label(&block[0x78..0x88]),
        needs_recovery: incompat & INCOMPAT_RECOVER != 0,
    })))
}
