//! bcache (kernel: include/uapi bcache_superblock; the magic stands 24 bytes into sector 8).

use super::Member;
use super::view::View;
use std::io;

const MAGIC: [u8; 16] =
    [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81];

pub fn member(view: &View) -> io::Result<Option<Member>> {
    Ok(view.has(4096 + 24, &MAGIC).then_some(Member::Bcache))
}
