//! Damaged copies of an image: a bit of one file flipped, as on a bad stick, or the end missing, as after an
//! interrupted copy.

use super::QemuError;
use super::scenario::ESP;
use crate::util::file_error::At as _;
use appliance_contract::gpt_types;
use gpt::GptConfig;
use hadris_fs::MountOptions;
use hadris_fs::sync::FileSystem;
use hadris_iso::sync::IsoFs;
use hadris_storage::host::FileDevice;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Leaves the last `bytes` of the image out.
pub fn truncate(image: &Path, bytes: u64) -> Result<(), QemuError> {
    let file = OpenOptions::new().write(true).open(image).at("opening", image)?;
    let length = file.metadata().at("reading", image)?.len();
    let cutting = QemuError::file("cutting off the end of", image);
    let left = length.checked_sub(bytes).ok_or_else(|| {
        std::io::Error::other(format!("it has {length} bytes, expected at least the {bytes} to leave out"))
    });
    left.and_then(|left| file.set_len(left)).map_err(cutting)
}

/// Flips the lowest bit of the byte at `percent` of the file, or EFI system partition, `inside` on the ISO image `image`.
pub fn flip_bit(image: &Path, inside: &str, percent: u8) -> Result<(), QemuError> {
    let (offset, length) = if inside == ESP {
        locate_esp(image).map_err(|reason| QemuError::Inside { path: inside.to_owned(), reason })?
    } else {
        locate(image, inside)?
    };
    let position = offset + length.saturating_sub(1) * u64::from(percent.min(100)) / 100;
    let file = OpenOptions::new().read(true).write(true).open(image).at("opening", image)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).at("reading", image)?;
    byte[0] ^= 1;
    file.write_all_at(&byte, position).map_err(QemuError::file("writing", image))
}

/// Copies the file `inside` out of the ISO image `image`.
pub fn copy_out(image: &Path, inside: &str, to: &Path) -> Result<(), QemuError> {
    let (offset, length) = locate(image, inside)?;
    let mut file = File::open(image).at("opening", image)?;
    file.seek(SeekFrom::Start(offset)).at("reading", image)?;
    let mut out = File::create(to).at("making", to)?;
    std::io::copy(&mut file.take(length), &mut out).at("writing", to)?;
    Ok(())
}

fn locate(image: &Path, inside: &str) -> Result<(u64, u64), QemuError> {
    find(image, inside).map_err(|reason| QemuError::Inside { path: inside.to_owned(), reason })
}

fn locate_esp(image: &Path) -> Result<(u64, u64), String> {
    let disk = GptConfig::new().open(image).map_err(|error| format!("reading the partition table: {error}"))?;
    let esp = disk
        .partitions()
        .values()
        .find(|partition| partition.part_type_guid.guid.to_string().eq_ignore_ascii_case(gpt_types::ESP));
    let esp = esp.ok_or("the partition table has no EFI system partition")?;
    let sector = crate::format::gpt::SECTOR;
    Ok((esp.first_lba * sector, (esp.last_lba + 1 - esp.first_lba) * sector))
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

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::causes::WithCauses as _;

    #[test]
    fn leaves_out_the_end_and_no_more_than_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        std::fs::write(&image, "0123456789").unwrap();
        truncate(&image, 3).unwrap();
        assert_eq!(std::fs::read(&image).unwrap(), b"0123456");
        let error = truncate(&image, 8).unwrap_err().with_causes();
        assert!(error.contains("it has 7 bytes, expected at least the 8"), "{error}");
        assert_eq!(std::fs::read(&image).unwrap(), b"0123456");
    }
}
