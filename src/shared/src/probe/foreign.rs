//! What the agent never opens, recognised by its magic alone so that the refusal can name it.

use super::view::View;
use super::{FileSystem, FileSystemKind, Member};
use std::io;

/// bcachefs (kernel: fs/bcachefs/bcachefs_format.h), 24 bytes into sector 8.
const BCACHEFS: [u8; 16] =
    [0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9, 0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d, 0xf7, 0xef];

const FILE_SYSTEMS: [(usize, &[u8], FileSystemKind); 5] = [
    (3, b"NTFS    ", FileSystemKind::Ntfs),
    (3, b"EXFAT   ", FileSystemKind::Exfat),
    (1024, &[0x10, 0x20, 0xf5, 0xf2], FileSystemKind::F2fs),
    (1024, &[0xe2, 0xe1, 0xf5, 0xe0], FileSystemKind::Erofs),
    (4096 + 24, &BCACHEFS, FileSystemKind::Bcachefs),
];

const MEMBERS: [(&[u8], Member); 4] = [
    (b"integrt\0", Member::DmIntegrity),
    (b"verity\0\0", Member::DmVerity),
    (b"SnAp\x01\0\0\0", Member::DmSnapshot),
    (b"bluestore block device\n", Member::CephBluestore),
];

pub fn file_system(view: &View) -> io::Result<Option<FileSystem>> {
    let found = FILE_SYSTEMS.iter().find(|(offset, magic, _)| view.has(*offset, magic));
    Ok(found.map(|&(_, _, kind)| FileSystem { kind, uuid: None, label: None, needs_recovery: false }))
}

pub fn member(view: &View) -> io::Result<Option<Member>> {
    Ok(MEMBERS.iter().find(|(magic, _)| view.has(0, magic)).map(|(_, member)| member.clone()))
}
