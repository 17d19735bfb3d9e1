//! squashfs 4.0 (kernel: fs/squashfs/squashfs_fs.h); it has neither UUID nor label.

use super::view::View;
use super::{FileSystem, FileSystemKind};
use crate::read_at::le16;
use std::io;

pub fn file_system(view: &View) -> io::Result<Option<FileSystem>> {
    let Some(block) = view.at::<96>(0)? else { return Ok(None) };
    if !block.starts_with(b"hsqs") || le16(&block, 28) != 4 {
        return Ok(None);
    }
    Ok(Some(FileSystem { kind: FileSystemKind::Squashfs, uuid: None, label: None, needs_recovery: false }))
}
