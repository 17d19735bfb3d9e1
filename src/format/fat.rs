//! FAT file systems, built in memory.

use crate::tree::{Kind, Tree, TreePath};
use fatfs::{Date, DateTime, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use std::collections::HashSet;
use std::io::{self, Cursor, Write};

#[derive(Debug, Clone)]
pub struct FatOptions {
    /// Bytes, a multiple of 512.
    pub size: u32,
    /// At most 11 characters of ASCII.
    pub label: String,
    pub volume_id: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum FatError {
    #[error("FAT cannot hold {path}, which is {found}; expected a file or a directory")]
    Unsupported { path: TreePath, found: &'static str },
    #[error("FAT volume label {label:?} is not 1 to 11 characters of ASCII")]
    Label { label: String },
    #[error("writing {path} to a FAT file system of {size} bytes: {source}")]
    Write { path: TreePath, size: u32, source: io::Error },
    #[error("making a FAT file system of {size} bytes: {source}")]
    Format { size: u32, source: io::Error },
}

/// The first moment that FAT can name, in every entry: the clock stays out.
#[derive(Debug)]
struct Fixed;

impl TimeProvider for Fixed {
    fn get_current_date(&self) -> Date {
        Date { year: 1980, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: self.get_current_date(), time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}

/// A file system with `tree`'s directories and files. Modes, owners and times
/// have no place in it; links, and names that differ in case alone, are refused.
pub fn build(tree: &Tree, options: &FatOptions) -> Result<Vec<u8>, FatError> {
    let size = options.size;
    let mut names = HashSet::new();
    for (path, _) in tree.walk() {
        if !names.insert(path.to_string().to_lowercase()) {
            return Err(FatError::Unsupported { path, found: "another's name but for the case of letters" });
        }
    }
    let formatting = |source| FatError::Format { size, source };
    let mut image = vec![0; size as usize];
    let mut format = FormatVolumeOptions::new().volume_id(options.volume_id).volume_label(label(&options.label)?);
    // The crate's own choice of cluster leaves too few of them for FAT32 between 32 and 64 MiB.
    if size > 32 << 20 && size < 64 << 20 {
        format = format.bytes_per_cluster(512);
    }
    fatfs::format_volume(Cursor::new(image.as_mut_slice()), format).map_err(formatting)?;
    let file_system = FileSystem::new(Cursor::new(image.as_mut_slice()), FsOptions::new().time_provider(&Fixed))
        .map_err(formatting)?;
    for (path, id) in tree.walk().filter(|(path, _)| !path.is_root()) {
        let failed = |source| FatError::Write { path: path.clone(), size, source };
        let unsupported = |found| FatError::Unsupported { path: path.clone(), found };
        let name = String::from_utf8(path.to_bytes()[1..].to_vec()).map_err(|_| unsupported("no name in UTF-8"))?;
        let root = file_system.root_dir();
        match &tree.node(id).kind {
            Kind::Directory(_) => drop(root.create_dir(&name).map_err(failed)?),
            Kind::File(content) => {
                let mut file = root.create_file(&name).map_err(failed)?;
                io::copy(&mut content.open().map_err(failed)?, &mut file).map_err(failed)?;
                file.flush().map_err(failed)?;
            }
            Kind::Symlink(_) => return Err(unsupported("a symbolic link")),
            Kind::CharacterDevice { .. } | Kind::BlockDevice { .. } => return Err(unsupported("a device")),
            Kind::Fifo => return Err(unsupported("a pipe")),
            Kind::Socket => return Err(unsupported("a socket")),
        }
    }
    file_system.unmount().map_err(formatting)?;
    super::fat_dots::mend(&mut image);
    Ok(image)
}

fn label(text: &str) -> Result<[u8; 11], FatError> {
    if text.is_empty() || text.len() > 11 || !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Err(FatError::Label { label: text.to_owned() });
    }
    let mut label = [b' '; 11];
    label[..text.len()].copy_from_slice(text.to_ascii_uppercase().as_bytes());
    Ok(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Metadata, Node};
    use std::io::Read;

    fn options(size: u32) -> FatOptions {
        FatOptions { size, label: "boot".into(), volume_id: 0x1234_abcd }
    }

    fn sample() -> Tree {
        let mut tree = Tree::new(Metadata::new(0o755));
        let file = Node::file(Metadata::new(0o644), b"loader".to_vec().into());
        tree.insert(&TreePath::parse("/EFI/BOOT/BOOTX64.EFI").unwrap(), file).unwrap();
        tree
    }

    #[test]
    fn holds_the_files_and_is_the_same_each_time() {
        for size in [8 << 20, 34 << 20] {
            let image = build(&sample(), &options(size)).unwrap();
            assert_eq!(image, build(&sample(), &options(size)).unwrap());
            let fs = FileSystem::new(Cursor::new(image), FsOptions::new()).unwrap();
            assert_eq!((fs.volume_id(), fs.volume_label().as_str()), (0x1234_abcd, "BOOT"));
            let mut text = String::new();
            fs.root_dir().open_file("efi/boot/bootx64.efi").unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "loader");
        }
    }

    #[test]
    fn refuses_what_fat_has_no_place_for() {
        let mut tree = sample();
        tree.insert(&TreePath::parse("/link").unwrap(), Node::symlink("x", 0)).unwrap();
        let error = build(&tree, &options(8 << 20)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "FAT cannot hold /link, which is a symbolic link; expected a file or a directory"
        );
        let mut twice = sample();
        let file = Node::file(Metadata::new(0o644), Vec::new().into());
        twice.insert(&TreePath::parse("/EFI/boot").unwrap(), file).unwrap();
        assert!(build(&twice, &options(8 << 20)).unwrap_err().to_string().contains("but for the case"));
        let mut full = sample();
        let big = Node::file(Metadata::new(0o644), vec![0; 9 << 20].into());
        full.insert(&TreePath::parse("/big").unwrap(), big).unwrap();
        assert!(matches!(build(&full, &options(8 << 20)), Err(FatError::Write { .. })));
        let long = FatOptions { label: "more than eleven".into(), ..options(8 << 20) };
        assert!(matches!(build(&sample(), &long), Err(FatError::Label { .. })));
    }
}
