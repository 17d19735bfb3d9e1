//! ZFS: the uberblock ring in the first label (ZFS On-Disk Specification, 1.2.1 and 1.3).

use super::Member;
use super::view::View;
use std::io;

const RING: u64 = 128 * 1024;
/// Uberblock slots are at least this far apart.
const SLOT: u64 = 1024;
const SLOTS: u64 = RING / SLOT;
const MAGIC: u64 = 0x00ba_b10c;
/// One number alone may be chance; a pool fills its ring within seconds.
const ENOUGH: usize = 4;

pub fn member(view: &View) -> io::Result<Option<Member>> {
    let Some(ring) = view.at::<{ RING as usize }>(RING)? else { return Ok(None) };
    let found = (0..SLOTS)
        .filter(|slot| {
            let number = crate::read_at::le64(&ring, (slot * SLOT) as usize);
            number == MAGIC || number.swap_bytes() == MAGIC
        })
        .count();
    Ok((found >= ENOUGH).then_some(Member::Zfs))
}
