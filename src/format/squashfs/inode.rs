//! Inodes: a basic and an extended form of each type. The extended form is
//! written only if the basic one cannot hold the values.

use super::directory::IndexEntry;
use super::fragment::{FragmentRef, NO_FRAGMENT};
use super::metadata::MetadataRef;
use crate::tree::Kind;

/// The value for an inode without extended attributes.
const NO_XATTRS: u32 = u32::MAX;

/// The difference between a basic type and its extended form.
const EXTENDED: u16 = 7;

/// A listing's size in its inode counts `.` and `..`, which are not stored, as 3 bytes.
const DOT_ENTRIES: u32 = 3;

#[derive(Debug)]
pub(super) struct Inode<'a> {
    pub mode: u16,
    /// Indices in the id table.
    pub uid: u16,
    pub gid: u16,
    pub time: u32,
    pub number: u32,
    pub links: u32,
    /// The index in the xattr id table.
    pub xattrs: Option<u32>,
    /// See [`basic_type`].
    pub kind: u16,
    pub body: Body<'a>,
}

#[derive(Debug)]
pub(super) enum Body<'a> {
    Directory {
        listing: MetadataRef,
        size: u32,
        parent: u32,
        index: &'a [IndexEntry],
    },
    File(FileBody<'a>),
    Symlink(&'a [u8]),
    Device(u32),
    /// A fifo or a socket.
    Ipc,
}

#[derive(Debug)]
pub(super) struct FileBody<'a> {
    pub start: u64,
    pub size: u64,
    /// Bytes in blocks of zeros, which are not stored.
    pub sparse: u64,
    pub fragment: Option<FragmentRef>,
    pub blocks: &'a [u32],
}

/// The number of a node's basic inode type; directory entries hold it too.
pub(super) fn basic_type(kind: &Kind) -> u16 {
    match kind {
        Kind::Directory(_) => 1,
        Kind::File(_) => 2,
        Kind::Symlink(_) => 3,
        Kind::BlockDevice { .. } => 4,
        Kind::CharacterDevice { .. } => 5,
        Kind::Fifo => 6,
        Kind::Socket => 7,
    }
}

impl Inode<'_> {
    fn is_extended(&self) -> bool {
        self.xattrs.is_some()
            || match &self.body {
                Body::Directory { size, index, .. } => {
                    !index.is_empty() || size.saturating_add(DOT_ENTRIES) > u32::from(u16::MAX)
                }
                Body::File(file) => {
                    let narrow = u64::from(u32::MAX);
                    self.links > 1 || file.sparse > 0 || file.start > narrow || file.size > narrow
                }
                _ => false,
            }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        let out = &mut bytes;
        let extended = self.is_extended();
        let kind = self.kind + if extended { EXTENDED } else { 0 };
        for half in [kind, self.mode, self.uid, self.gid] {
            out.extend(half.to_le_bytes());
        }
        words(out, &[self.time, self.number]);
        let xattrs = self.xattrs.unwrap_or(NO_XATTRS);
        match &self.body {
            Body::Directory { listing, size, parent, index } => {
                // The directory table's size was checked when the listing was written.
                let block = listing.block as u32;
                let size = size + DOT_ENTRIES;
                if extended {
                    words(out, &[self.links, size, block, *parent]);
                    out.extend((index.len() as u16).to_le_bytes());
                    out.extend(listing.offset.to_le_bytes());
                    words(out, &[xattrs]);
                    index.iter().for_each(|entry| entry.encode(out));
                } else {
                    words(out, &[block, self.links]);
                    out.extend((size as u16).to_le_bytes());
                    out.extend(listing.offset.to_le_bytes());
                    words(out, &[*parent]);
                }
            }
            Body::File(file) => {
                let fragment = file.fragment.unwrap_or(NO_FRAGMENT);
                if extended {
                    for wide in [file.start, file.size, file.sparse] {
                        out.extend(wide.to_le_bytes());
                    }
                    words(out, &[self.links, fragment.index, fragment.offset, xattrs]);
                } else {
                    // `is_extended` checked that both fit.
                    words(out, &[file.start as u32, fragment.index, fragment.offset, file.size as u32]);
                }
                words(out, file.blocks);
            }
            Body::Symlink(target) => {
                // The survey refused targets above 4095 bytes.
                words(out, &[self.links, target.len() as u32]);
                out.extend_from_slice(target);
                if extended {
                    words(out, &[xattrs]);
                }
            }
            Body::Device(number) => {
                words(out, &[self.links, *number]);
                if extended {
                    words(out, &[xattrs]);
                }
            }
            Body::Ipc => {
                words(out, &[self.links]);
                if extended {
                    words(out, &[xattrs]);
                }
            }
        }
        bytes
    }
}

fn words(out: &mut Vec<u8>, words: &[u32]) {
    for word in words {
        out.extend(word.to_le_bytes());
    }
}

/// A device number in the encoding of Linux's `new_encode_dev`; `None` if it does not fit.
pub(super) fn device_number(major: u32, minor: u32) -> Option<u32> {
    (major <= 0xfff && minor <= 0xf_ffff).then_some((minor & 0xff) | major << 8 | (minor & !0xff) << 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(links: u32, size: u64, sparse: u64, start: u64) -> Vec<u8> {
        Inode {
            mode: 0o644,
            uid: 1,
            gid: 2,
            time: 3,
            number: 4,
            links,
            xattrs: None,
            kind: 2,
            body: Body::File(FileBody { start, size, sparse, fragment: None, blocks: &[5] }),
        }
        .encode()
    }

    #[test]
    fn device_numbers_are_linux_s() {
        assert_eq!(device_number(1, 3), Some(0x103));
        assert_eq!(device_number(259, 300), Some(0x0011_032c));
        assert_eq!(device_number(4095, 1_048_575), Some(u32::MAX));
        assert_eq!(device_number(4096, 0), None);
        assert_eq!(device_number(0, 1_048_576), None);
    }

    #[test]
    fn extended_only_where_needed() {
        let narrow = u64::from(u32::MAX);
        assert_eq!(file(1, narrow, 0, narrow).len(), 36);
        for extended in [file(2, 1, 0, 96), file(1, narrow + 1, 0, 96), file(1, 1, 1, 96), file(1, 1, 0, narrow + 1)] {
            assert_eq!(extended.len(), 60);
            assert_eq!(extended[0], 9);
        }
    }

    #[test]
    fn a_file_is_laid_out_as_squashfs_reg_inode() {
        let bytes = file(1, 0x1234, 0, 0x5678);
        assert_eq!(bytes[..8], [2, 0, 0xa4, 1, 1, 0, 2, 0]);
        assert_eq!(bytes[8..24], [3, 0, 0, 0, 4, 0, 0, 0, 0x78, 0x56, 0, 0, 255, 255, 255, 255]);
        assert_eq!(bytes[24..], [0, 0, 0, 0, 0x34, 0x12, 0, 0, 5, 0, 0, 0]);
    }
}
