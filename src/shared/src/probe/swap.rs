//! Swap space (mkswap's header: the last ten bytes of the first page), also while it holds a hibernated system.

use super::Member;
use super::view::View;
use std::io;

/// Page sizes that Linux machines have; swap may come from another one.
const PAGES: [usize; 5] = [4096, 8192, 16384, 32768, 65536];
const MAGICS: [&[u8]; 6] =
    [b"SWAPSPACE2", b"SWAP-SPACE", b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0", b"LINHIB0001"];

pub fn member(view: &View) -> io::Result<Option<Member>> {
    let found = PAGES.iter().any(|page| MAGICS.iter().any(|magic| view.has(page - magic.len(), magic)));
    Ok(found.then_some(Member::Swap))
}
