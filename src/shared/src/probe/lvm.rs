//! LVM2 physical volumes: the label is in one of the first four sectors (lvm2: lib/format_text/layout.h).

use super::Member;
use super::view::View;
use std::io;

const SECTORS: usize = 4;

pub fn member(view: &View) -> io::Result<Option<Member>> {
    let found = (0..SECTORS).any(|sector| {
        let start = sector * 512;
        view.has(start, b"LABELONE") && view.has(start + 24, b"LVM2 001")
    });
    Ok(found.then_some(Member::Lvm))
}
