//! Reads concatenated cpio archives in the SVR4 "new ASCII" format, as in an initramfs with microcode. Archives after
//! the first may be compressed.

use super::{Container, Item, MAX_UNPACKED_SIZE, Problem, damaged};
use crate::format::compression;
use crate::tree::Content;
use std::io::Read;

const HEADER: usize = 110;
const TRAILER: &[u8] = b"TRAILER!!!";

pub struct Archive {
    items: Vec<Item>,
    contents: Vec<Content>,
}

pub fn is_archive(head: &[u8]) -> bool {
    head.starts_with(b"070701")
}

impl Archive {
    pub fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let mut entries: Vec<(Item, Content)> = Vec::new();
        let mut rest = bytes;
        let mut number = 0;
        loop {
            // Zeros pad to the start of the next archive.
            let start = rest.iter().position(|&byte| byte != 0).unwrap_or(rest.len());
            rest = &rest[start..];
            if rest.is_empty() {
                break;
            }
            if !is_archive(rest) {
                let mut unpacked = Vec::new();
                let (_, reader) = compression::decompress(rest).map_err(std::io::Error::other)?;
                reader.take(MAX_UNPACKED_SIZE).read_to_end(&mut unpacked)?;
                if is_archive(&unpacked) {
                    read_one(&unpacked, number, &mut entries)?;
                } else {
                    return Err(damaged("cpio magic", 0, "070701"));
                }
                break;
            }
            let length = read_one(rest, number, &mut entries)?;
            rest = &rest[length..];
            number += 1;
        }
        entries.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        let (items, contents) = entries.into_iter().unzip();
        Ok(Self { items, contents })
    }
}

/// Reads one archive; returns its length with the trailer.
fn read_one(bytes: &[u8], number: usize, entries: &mut Vec<(Item, Content)>) -> Result<usize, Problem> {
    let mut at = 0;
    loop {
        let header = bytes.get(at..at + HEADER).filter(|header| is_archive(header));
        let header = header.ok_or_else(|| damaged("offset of a cpio header", at as u64, "a header of 110 bytes"))?;
        let field = |index: usize| -> Result<usize, Problem> {
            let text = std::str::from_utf8(&header[6 + index * 8..14 + index * 8]).unwrap_or("");
            usize::from_str_radix(text, 16).map_err(|_| damaged("cpio field", index as u64, "eight hexadecimal digits"))
        };
        let (size, length) = (field(6)?, field(11)?);
        let name_end = at + HEADER + length;
        let name = bytes.get(at + HEADER..name_end).and_then(|name| name.strip_suffix(b"\0"));
        let name = name.ok_or_else(|| damaged("length of a cpio name", length as u64, "one within the archive"))?;
        let start = name_end.next_multiple_of(4);
        let content = bytes.get(start..start + size);
        let content = content.ok_or_else(|| damaged("size of a cpio entry", size as u64, "one within the archive"))?;
        at = (start + size).next_multiple_of(4).min(bytes.len());
        if name == TRAILER {
            return Ok(at);
        }
        let mode = field(1)?;
        let facts = format!(
            "mode {mode:o}, owner {}:{}, {} links, time {}, device {}:{}, inode {}, {size} bytes",
            field(2)?,
            field(3)?,
            field(4)?,
            field(5)?,
            field(9)?,
            field(10)?,
            field(0)?
        );
        // Concatenated archives may have the same names.
        let path = if number == 0 { name.to_vec() } else { [format!("({number}) ").as_bytes(), name].concat() };
        entries.push((Item { path, facts, is_file: mode & 0o170_000 == 0o100_000 }, Content::from(content.to_vec())));
    }
}

impl Container for Archive {
    fn items(&self) -> &[Item] {
        &self.items
    }

    fn content(&mut self, index: usize) -> Result<Content, Problem> {
        Ok(self.contents[index].clone())
    }
}
