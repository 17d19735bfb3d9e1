//! btrfs (btrfs.readthedocs.io, On-disk format: superblock).

use super::view::View;
use super::{Contents, FileSystem, FileSystemKind, Member, label, uuid};
use crate::read_at::le64;
use std::io;

const OFFSET: u64 = 64 * 1024;
const MAGIC: &[u8] = b"_BHRfS_M";

pub fn contents(view: &View) -> io::Result<Option<Contents>> {
    let Some(block) = view.at::<4096>(OFFSET)? else { return Ok(None) };
    // The superblock holds its own address.
    if &block[0x40..0x48] != MAGIC || le64(&block, 0x30) != OFFSET {
        return Ok(None);
    }
    let devices = le64(&block, 0x88);
    if devices > 1 {
        return Ok(Some(Contents::Member(Member::Btrfs { devices })));
    }
    Ok(Some(Contents::FileSystem(FileSystem {
        kind: FileSystemKind::Btrfs,
        uuid: uuid(&block[0x20..0x30]),
        label: label(&block[0x12b..0x22b]),
        // The root of the tree log is not 0: fsync'ed writes wait for replay.
        needs_recovery: le64(&block, 0x60) != 0,
    })))
}
