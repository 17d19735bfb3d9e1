//! LUKS 1 and 2 (their on-disk format specifications) and BitLocker.

use super::Member;
use super::view::View;
use std::io;

const LUKS: &[u8] = b"LUKS\xba\xbe";
const LUKS2_SECOND: &[u8] = b"SKUL\xba\xbe";
/// Where LUKS 2 may keep its second header (LUKS2 specification, 2.1), within what is read.
const SECOND_OFFSETS: [usize; 3] = [0x4000, 0x8000, 0x10000];

pub fn member(view: &View) -> io::Result<Option<Member>> {
    if view.has(0, LUKS) || SECOND_OFFSETS.iter().any(|&offset| view.has(offset, LUKS2_SECOND)) {
        return Ok(Some(Member::Luks));
    }
    Ok(view.has(3, b"-FVE-FS-").then_some(Member::BitLocker))
}
