//! Checks that a file is an image before the machine starts. Otherwise the machine would wait in its firmware forever.

use super::QemuError;
use crate::util::file_error::At as _;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

/// Offset of the primary volume descriptor (ECMA-119 6.2.1, 8.4).
const DESCRIPTOR: u64 = 16 * 2048;

/// Refuses files that are not a complete ISO 9660 volume.
pub fn check(path: &Path) -> Result<(), QemuError> {
    let refuse = |found| QemuError::NoImage { path: path.to_owned(), found };
    // Checked before opening it: opening a FIFO blocks until a writer opens it.
    let metadata = fs::metadata(path).at("reading", path)?;
    let is_drive = metadata.file_type().is_block_device();
    if !metadata.is_file() && !is_drive {
        return Err(refuse(if metadata.is_dir() { "a directory" } else { "a pipe, socket or device" }));
    }
    let file = File::open(path).at("reading", path)?;
    let mut descriptor = [0; 2048];
    match file.read_exact_at(&mut descriptor, DESCRIPTOR) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(refuse("a file too short")),
        read => read.at("reading", path)?,
    }
    if &descriptor[..6] != b"\x01CD001" {
        return Err(refuse("no volume descriptor"));
    }
    // Both-byte-order numbers: the little-endian one comes first (7.2.3, 7.3.3).
    let blocks = u32::from_le_bytes([descriptor[80], descriptor[81], descriptor[82], descriptor[83]]);
    let size = u16::from_le_bytes([descriptor[128], descriptor[129]]);
    let (found, expected) = (metadata.len(), u64::from(blocks) * u64::from(size));
    if !is_drive && found < expected {
        return Err(QemuError::Truncated { path: path.to_owned(), found, expected });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::causes::WithCauses as _;

    #[test]
    fn only_a_whole_volume_passes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut volume = vec![0; 2048 * 20];
        volume[32768..32774].copy_from_slice(b"\x01CD001");
        volume[32768 + 80] = 20;
        volume[32768 + 129] = 8;
        fs::write(path("whole"), &volume).unwrap();
        fs::write(path("cut"), &volume[..2048 * 19]).unwrap();
        fs::write(path("text"), "x").unwrap();
        fs::write(path("zeros"), vec![0; 2048 * 20]).unwrap();
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        check(&path("whole")).unwrap();
        for (name, said) in [
            ("cut", "found 38912 bytes, expected the 40960"),
            ("text", "a file too short"),
            ("zeros", "no volume descriptor"),
            ("pipe", "a pipe"),
            ("", "a directory"),
            ("none", "No such file"),
        ] {
            let error = check(&path(name)).unwrap_err().with_causes();
            assert!(error.contains(said), "{name}: {error}");
        }
    }
}
