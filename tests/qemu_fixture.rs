//! Others judge what the boot scenarios are fed with: what is called a dirty journal must be one.

use applbuild::fleet::ConfigFormat;
use applbuild::qemu::Bus;
use applbuild::qemu::fixture;
use applbuild::qemu::scenario::{Holds, ScenarioDrive};
use applbuild_test_support::judges::judge;
use std::path::Path;

/// Runs a tool and gives what it printed; `worked` are the exit codes that say so.
fn run(tool: &str, arguments: &[&str], worked: &[i32]) -> String {
    let output = judge(tool).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|code| worked.contains(&code)), "{tool} {arguments:?}: {text}");
    text
}

fn drive(dirty_journal: bool) -> ScenarioDrive {
    ScenarioDrive {
        name: "config".to_owned(),
        bus: Bus::Virtio,
        node: Some("node1".to_owned()),
        guest: None,
        store: None,
        holds: None,
        label: None,
        size_mib: 16,
        marker: None,
        etc_filler: None,
        dirty_journal,
        format: ConfigFormat::Ext4,
        partition: 1,
        late: false,
        first: false,
    }
}

/// The file system in the first partition, at its mebibyte.
fn file_system(dirty_journal: bool, folder: &Path) -> String {
    let disk = folder.join("disk.img");
    fixture::make(&drive(dirty_journal), Path::new("ci/scenarios/fleet"), Path::new(""), &disk).unwrap();
    let bytes = std::fs::read(disk).unwrap();
    let file = folder.join("ext4.img");
    std::fs::write(&file, &bytes[1 << 20..bytes.len() - (1 << 20)]).unwrap();
    file.into_os_string().into_string().unwrap()
}

#[test]
fn replaying_the_dirty_journal_would_change_the_marker() {
    let folder = tempfile::tempdir().unwrap();
    let file = file_system(true, folder.path());
    assert!(run("dumpe2fs", &["-h", &file], &[0]).contains("needs_recovery"));
    assert!(run("debugfs", &["-R", "cat /appliance.toml", &file], &[0]).contains("scenario-7"));
    assert!(run("e2fsck", &["-p", &file], &[0, 1]).contains("recovering journal"));
    assert!(run("debugfs", &["-R", "cat /appliance.toml", &file], &[0]).contains("generation = \"replayed\""));
    run("e2fsck", &["-fn", &file], &[0]);
}

#[test]
fn a_clean_one_needs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = file_system(false, folder.path());
    assert!(!run("dumpe2fs", &["-h", &file], &[0]).contains("needs_recovery"));
    run("e2fsck", &["-fn", &file], &[0]);
}

#[test]
fn a_config_behind_a_medium_keeps_its_table_sound_and_its_mbr() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk.img");
    let fleet = Path::new("ci/scenarios/fleet");
    fixture::make(&drive(false), fleet, Path::new(""), &disk).unwrap();
    let before = std::fs::read(&disk).unwrap();
    fixture::append_config(&disk, "node2", fleet).unwrap();
    let after = std::fs::read(&disk).unwrap();
    assert_eq!(before[..512], after[..512]);
    let name = disk.to_str().unwrap();
    // sgdisk says that the MBR, which stays as it was, covers less than the disk.
    let text = run("sgdisk", &["-v", "-p", name], &[0]);
    assert!(text.contains("No problems found") || text.contains("Caution"), "{text}");
    assert_eq!(text.lines().filter(|line| line.ends_with("config")).count(), 2, "{text}");
}

#[test]
fn an_empty_file_system_and_a_swap_space_are_what_their_tools_take() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drive.img");
    let name = path.to_str().unwrap();
    let holding = |holds| {
        let label = Some("vardata".to_owned());
        ScenarioDrive { node: None, holds: Some(holds), label, size_mib: 32, ..drive(false) }
    };
    fixture::make(&holding(Holds::Ext4), Path::new(""), Path::new(""), &path).unwrap();
    run("e2fsck", &["-fn", name], &[0]);
    assert!(run("e2label", &[name], &[0]).starts_with("vardata"));
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 32 << 20);
    fixture::make(&holding(Holds::Swap), Path::new(""), Path::new(""), &path).unwrap();
    let text = run("swaplabel", &[name], &[0]);
    assert!(text.contains("LABEL: vardata") && text.contains("UUID:"), "{text}");
}
