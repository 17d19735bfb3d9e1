//! Members of arrays: Linux md (kernel: include/uapi/linux/raid/md_p.h), and
//! the firmware formats that md also assembles.

use super::view::View;
use super::{Member, partition_table};
use crate::read_at::{le32, le64};
use std::io;

const MAGIC: u32 = 0xa92b_4efc;
/// Version 0.90 lies in the last whole 64 KiB.
const RESERVED_090: u64 = 64 * 1024;
const IMSM: &[u8] = b"Intel Raid ISM Cfg Sig. ";
/// SNIA DDF 2.0, 4.2.1: big-endian, in the last sector.
const DDF: [u8; 4] = [0xde, 0x11, 0xde, 0x11];

pub fn member(view: &View) -> io::Result<Option<Member>> {
    for (offset, version) in [(0, "1.1"), (4096, "1.2")] {
        if version_1(view, offset)? {
            return Ok(Some(Member::Raid(version)));
        }
    }
    let end = match at_end(view)? {
        Some((offset, version)) if !partition_table::covers(view, offset)? => Some(Member::Raid(version)),
        _ => None,
    };
    Ok(end)
}

/// A superblock at the end of a disk may be that of its last partition.
fn at_end(view: &View) -> io::Result<Option<(u64, &'static str)>> {
    let size = view.size();
    let sectors = size / 512;
    // md_p.h: at least 8 KiB from the end, on a 4 KiB boundary.
    if let Some(sector) = sectors.checked_sub(16) {
        let offset = (sector & !7) * 512;
        if version_1(view, offset)? {
            return Ok(Some((offset, "1.0")));
        }
    }
    if let Some(offset) = (size & !(RESERVED_090 - 1)).checked_sub(RESERVED_090)
        && let Some(block) = view.at::<8>(offset)?
    {
        let native = le32(&block, 0) == MAGIC && le32(&block, 4) == 0;
        let swapped = le32(&block, 0) == MAGIC.swap_bytes() && le32(&block, 4) == 0;
        if native || swapped {
            return Ok(Some((offset, "0.90")));
        }
    }
    if let Some(sector) = sectors.checked_sub(2)
        && let Some(block) = view.at::<24>(sector * 512)?
        && block == IMSM
    {
        return Ok(Some((sector * 512, "imsm")));
    }
    if let Some(sector) = sectors.checked_sub(1)
        && let Some(block) = view.at::<4>(sector * 512)?
        && block == DDF
    {
        return Ok(Some((sector * 512, "ddf")));
    }
    Ok(None)
}

/// A version 1 superblock knows where it is.
fn version_1(view: &View, offset: u64) -> io::Result<bool> {
    let Some(block) = view.at::<256>(offset)? else { return Ok(false) };
    Ok(le32(&block, 0) == MAGIC && le32(&block, 4) == 1 && le64(&block, 144) == offset / 512)
}
