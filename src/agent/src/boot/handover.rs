//! Step 9, handover: the record, and everything in its place for systemd.

use super::root::{self, RootError};
use super::{Boot, BootError, failed};
use crate::system::atomic_file;
use appliance_contract::boot_record::BootRecord;
use appliance_contract::medium;
use std::fs;
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    #[error("the image has no folder /{0}, where the running system needs it")]
    NoFolder(&'static str),
    #[error("writing the boot record: {0}")]
    Record(serde_json::Error),
}

impl From<serde_json::Error> for HandoverError {
    fn from(error: serde_json::Error) -> Self {
        Self::Record(error)
    }
}

/// Writes the record and moves the kernel's trees and the config into the image.
pub fn prepare(boot: &mut Boot<'_>, record: &mut BootRecord) -> Result<((), String), BootError> {
    if let Some(damage) = root::damage(boot.machine) {
        return Err(RootError::Damaged(damage).into());
    }
    boot_without_data_disks(boot)?;
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
    let path = boot.places.run.join(medium::BOOT_RECORD.trim_start_matches("/run/"));
    let text = serde_json::to_string_pretty(&record).map_err(HandoverError::from)?;
    atomic_file::write(&path, (text + "\n").as_bytes()).map_err(failed("writing", &path))?;
    for (name, from) in moves {
        let to = boot.places.sysroot.join(name);
        boot.machine.move_mount(&from, &to).map_err(failed("moving a mount to", &to))?;
    }
    Ok(((), "systemd takes over".into()))
}

/// A data disk that is missing degrades the node and does not stop it: systemd's
/// own `local-fs.target` turns to the emergency shell when a file system of
/// fstab fails, so one without that stands before it in `/run`.
fn boot_without_data_disks(boot: &Boot<'_>) -> Result<(), BootError> {
    const TARGET: &str = "local-fs.target";
    let Ok(unit) = fs::read_to_string(boot.places.sysroot.join("usr/lib/systemd/system").join(TARGET)) else {
        return Ok(());
    };
    let text: String =
        unit.lines().filter(|line| !line.starts_with("OnFailure")).map(|line| format!("{line}\n")).collect();
    let folder = boot.places.run.join("systemd/system");
    fs::create_dir_all(&folder).map_err(failed("making the folder", &folder))?;
    let path = folder.join(TARGET);
    fs::write(&path, text).map_err(failed("writing", &path))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::tests::{World, put};
    use appliance_contract::Schema;
    use appliance_contract::boot_record::{Etc, Image, Root};

    fn record() -> BootRecord {
        BootRecord {
            schema: Schema::CURRENT,
            role: appliance_contract::marker::Role::Host,
            image: Image { name: "host".into(), version: "1".into() },
            root: Root { source: "dev:vda".into(), device: "/dev/vda".into(), offset: 0, root_hash: None },
            config: None,
            refused: Vec::new(),
            etc: Etc::default(),
            var: "image".into(),
            var_degraded: None,
            machine_id: String::new(),
            warnings: Vec::new(),
            steps: Vec::new(),
        }
    }

    fn folders(world: &World) {
        for name in ["config", "run", "sys", "proc", "dev"] {
            fs::create_dir_all(world.places().sysroot.join(name)).unwrap();
        }
    }

    #[test]
    fn records_and_moves_the_kernels_trees_last_dev() {
        let world = World::new();
        let index = world.index(&[]);
        let mut boot = world.boot(&index);
        folders(&world);
        let unit = "[Unit]\nDescription=x\nOnFailure=emergency.target\nOnFailureJobMode=replace-irreversibly\n";
        put(&world.places().sysroot.join("usr/lib/systemd/system/local-fs.target"), unit);
        boot.warn("something");
        prepare(&mut boot, &mut record()).unwrap();
        let moves = ["config", "run", "sys", "proc", "dev"].map(|name| format!("move /{name} /sysroot/{name}"));
        assert_eq!(world.log(), moves);
        let text = fs::read_to_string(world.places().run.join("appliance/boot.json")).unwrap();
        let read: BootRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(read.warnings, ["something"]);
        let unit = fs::read_to_string(world.places().run.join("systemd/system/local-fs.target")).unwrap();
        assert_eq!(unit, "[Unit]\nDescription=x\n");
    }

    #[test]
    fn moves_nothing_when_a_folder_is_missing_or_the_root_is_damaged() {
        let world = World::new();
        let index = world.index(&[]);
        let mut boot = world.boot(&index);
        let error = prepare(&mut boot, &mut record()).unwrap_err().to_string();
        assert!(error.contains("no folder /config"), "{error}");
        folders(&world);
        *world.status.borrow_mut() = "C".into();
        world.kernel_log.borrow_mut().push("device-mapper: verity: 7:0: data block 9 is corrupted".into());
        let error = prepare(&mut boot, &mut record()).unwrap_err().to_string();
        assert!(error.contains("does not match its hash: data block 9 is corrupted"), "{error}");
        assert_eq!(world.log(), Vec::<String>::new());
    }

    #[test]
    fn emptying_stops_at_nothing_but_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder.path().join("lib/modules/index"), "");
        std::os::unix::fs::symlink("lib", folder.path().join("link")).unwrap();
        empty_initramfs(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
