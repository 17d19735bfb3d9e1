//! Step 9: the record, and everything in its place for systemd.

use super::{Boot, BootError, failed};
use appliance_contract::boot_record::BootRecord;
use std::fs;
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    #[error("the image has no folder /{0}, where the running system needs it")]
    NoFolder(&'static str),
    #[error("writing the boot record: {0}")]
    Record(#[from] serde_json::Error),
}

/// Writes the record and moves the kernel's trees and the config into the image.
pub fn prepare(boot: &mut Boot<'_>, record: &mut BootRecord) -> Result<((), String), BootError> {
    record.warnings = boot.warnings.clone();
    record.steps = boot.timeline.steps().to_vec();
    let moves = [
        ("config", boot.places.config.clone()),
        ("run", boot.places.run.clone()),
        ("sys", boot.places.sys.clone()),
        ("proc", boot.places.proc.clone()),
        ("dev", boot.places.dev.clone()),
    ];
    // All are looked at before the first is moved: from then on there is no way back.
    for (name, _) in &moves {
        if !boot.places.sysroot.join(name).is_dir() {
            return Err(HandoverError::NoFolder(name).into());
        }
    }
    let folder = boot.places.ours();
    let (beside, path) = (folder.join("boot.json.new"), folder.join("boot.json"));
    let text = serde_json::to_string_pretty(&record).map_err(HandoverError::from)?;
    fs::write(&beside, text + "\n").map_err(failed("writing", &beside))?;
    fs::rename(&beside, &path).map_err(failed("renaming", &beside))?;
    for (name, from) in moves {
        let to = boot.places.sysroot.join(name);
        boot.machine.move_mount(&from, &to).map_err(failed("moving a mount to", &to))?;
    }
    Ok(((), "systemd takes over".into()))
}

/// Frees the memory of the initramfs: removes all below `folder` that lies on
/// the same file system, and nothing that is mounted there.
pub fn empty_initramfs(folder: &Path) {
    use std::os::unix::fs::MetadataExt;
    fn empty(folder: &Path, device: u64) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            // What cannot be removed stays: it costs a little memory, nothing else.
            match fs::symlink_metadata(&path) {
                Ok(stat) if stat.dev() != device => {}
                Ok(stat) if stat.is_dir() => {
                    empty(&path, device);
                    let _ = fs::remove_dir(&path);
                }
                _ => {
                    let _ = fs::remove_file(&path);
                }
            }
        }
    }
    if let Ok(stat) = fs::symlink_metadata(folder) {
        empty(folder, stat.dev());
    }
}
