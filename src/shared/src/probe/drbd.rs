//! DRBD with internal metadata: its last block is the device's last 4 KiB (drbd: struct meta_data_on_disk).

use super::Member;
use super::view::View;
use crate::read_at::be32;
use std::io;

const BLOCK: u64 = 4096;
/// DRBD 8.3; 8.4 and not cleanly down; 9.
const MAGICS: [u32; 3] = [0x8374_026b, 0x8374_026c, 0x8374_026d];

pub fn member(view: &View) -> io::Result<Option<Member>> {
    let Some(offset) = (view.size() & !(BLOCK - 1)).checked_sub(BLOCK) else { return Ok(None) };
    let Some(block) = view.at::<64>(offset)? else { return Ok(None) };
    Ok(MAGICS.contains(&be32(&block, 60)).then_some(Member::Drbd))
}
