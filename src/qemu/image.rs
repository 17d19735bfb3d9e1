//! Checks that a file can be an image before a machine is started that would wait in its firmware forever.

use super::QemuError;
use crate::util::file_error::At as _;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

/// The primary volume descriptor's place (ECMA-119 6.2.1, 8.4).
const DESCRIPTOR: u64 = 16 * 2048;

/// Refuses what is no ISO 9660 volume, or not all of one.
pub fn check(path: &Path) -> Result<(), QemuError> {
    let refuse = |found| QemuError::NoImage { path: path.to_owned(), found };
    // Before opening it: opening a pipe waits for a writer.
    let there = fs::metadata(path).at("reading", path)?;
    let is_drive = there.file_type().is_block_device();
    if !there.is_file() && !is_drive {
        return Err(refuse(if there.is_dir() { "a folder" } else { "a pipe, socket or device" }));
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
    let (found, expected) = (there.len(), u64::from(blocks) * u64::from(size));
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
            ("", "a folder"),
            ("none", "No such file"),
        ] {
            let error = check(&path(name)).unwrap_err().with_causes();
            assert!(error.contains(said), "{name}: {error}");
        }
    }
}
