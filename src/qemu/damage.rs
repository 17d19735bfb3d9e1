//! Files inside an image: a copy of one, and one bit of it changed, as a bad stick would.

use super::QemuError;
use hadris_fs::MountOptions;
use hadris_fs::sync::FileSystem;
use hadris_iso::sync::IsoFs;
use hadris_storage::host::FileDevice;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Flips the lowest bit of the byte at `percent` of the file `inside` on the ISO image `image`.
pub fn flip_bit(image: &Path, inside: &str, percent: u8) -> Result<(), QemuError> {
    let (offset, length) = locate(image, inside)?;
    let position = offset + length.saturating_sub(1) * u64::from(percent.min(100)) / 100;
    let file = OpenOptions::new().read(true).write(true).open(image).map_err(QemuError::file("opening", image))?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).map_err(QemuError::file("reading", image))?;
    byte[0] ^= 1;
    file.write_all_at(&byte, position).map_err(QemuError::file("writing", image))
}

/// Copies the file `inside` out of the ISO image `image`.
pub fn copy_out(image: &Path, inside: &str, to: &Path) -> Result<(), QemuError> {
    let (offset, length) = locate(image, inside)?;
    let mut file = File::open(image).map_err(QemuError::file("opening", image))?;
    file.seek(SeekFrom::Start(offset)).map_err(QemuError::file("reading", image))?;
    let mut out = File::create(to).map_err(QemuError::file("making", to))?;
    std::io::copy(&mut file.take(length), &mut out).map_err(QemuError::file("writing", to))?;
    Ok(())
}

fn locate(image: &Path, inside: &str) -> Result<(u64, u64), QemuError> {
    find(image, inside).map_err(|reason| QemuError::Inside { path: inside.to_owned(), reason })
}

/// Where the (first extent of the) file lies on the image, in bytes.
fn find(image: &Path, inside: &str) -> Result<(u64, u64), String> {
    let device = FileDevice::open(image).map_err(|error| format!("opening the image: {error}"))?;
    let mut iso = IsoFs::mount(device, MountOptions::new()).map_err(|error| format!("reading the volume: {error}"))?;
    let mut node = iso.root();
    for name in inside.split('/').filter(|name| !name.is_empty()) {
        node = iso
            .lookup(node, hadris_fs::Name::new(name.as_bytes()))
            .map_err(|error| format!("looking up {name:?}: {error}"))?;
    }
    let mut extents = [hadris_fs::Extent::new(0, 0)];
    match iso.extents(node, 0, &mut extents) {
        Ok(1) if !extents[0].is_empty() => Ok((extents[0].offset(), extents[0].len())),
        Ok(_) => Err("the file is empty".to_owned()),
        Err(error) => Err(format!("finding its extent: {error}")),
    }
}
