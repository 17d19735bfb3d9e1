//! Config partitions, judged by the file systems' own checkers.

use applbuild::fleet::{self, ConfigFormat, ConfigImage, Written};
use applbuild::format::boot_code;
use applbuild_test_support::judges;
use std::path::{Path, PathBuf};
use std::process::Command;

fn judge(program: &str, arguments: &[&str]) -> String {
    let output = judges::judge(program).args(arguments).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{text}", output.status);
    text
}

struct Fleet {
    folder: tempfile::TempDir,
}

impl Fleet {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fleet::init(folder.path()).unwrap();
        let ssh = folder.path().join("pservers/node1/etc/ssh");
        std::fs::write(ssh.join("ssh_host_ed25519_key"), "private\n").unwrap();
        Self { folder }
    }

    fn image(&self, format: ConfigFormat, partition: u32) -> (PathBuf, Written) {
        let file = self.folder.path().join(format!("{format:?}-{partition}.img"));
        let image = ConfigImage { node: "node1".into(), format, partition, time: 1_700_000_000 };
        let written = image.write(self.folder.path(), &file).unwrap();
        (file, written)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Copies partition `number` out of `disk`, found where sgdisk says that it is.
fn partition(disk: &Path, number: u32) -> tempfile::NamedTempFile {
    let info = judge("sgdisk", &["-i", &number.to_string(), text(disk)]);
    assert!(info.contains("6F9A1B52-3C8E-4D07-A1F4-5B0C9E72D3A8"), "{info}");
    let sector = |what: &str| -> usize {
        let line = info.lines().find(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{what} in {info}"));
        line.split_whitespace().nth(2).unwrap().parse().unwrap()
    };
    let bytes = std::fs::read(disk).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes[sector("First sector") * 512..(sector("Last sector") + 1) * 512]).unwrap();
    file
}

#[test]
fn ext4_is_clean_and_holds_owners_and_modes() {
    let fleet = Fleet::new();
    let (disk, written) = fleet.image(ConfigFormat::Ext4, 1);
    assert_eq!(written.warnings, Vec::<String>::new());
    assert_eq!(written.size, std::fs::metadata(&disk).unwrap().len());
    judge("sgdisk", &["-v", text(&disk)]);
    let partition = partition(&disk, 1);
    judge("e2fsck", &["-fn", text(partition.path())]);
    let debugfs = |request: &str| judge("debugfs", &["-R", request, text(partition.path())]);
    let key = debugfs("stat /local/etc/ssh/ssh_host_ed25519_key");
    assert!(key.contains("Mode:  0600") && key.contains("User:     0   Group:     0"), "{key}");
    assert!(debugfs("cat /appliance.toml").contains("node = \"node1\""));
}

#[test]
fn fat_is_clean_on_a_third_partition_too() {
    let fleet = Fleet::new();
    let (disk, _) = fleet.image(ConfigFormat::Vfat, 3);
    judge("sgdisk", &["-v", text(&disk)]);
    let partition = partition(&disk, 3);
    judge("fsck.fat", &["-n", text(partition.path())]);
    let listed = judge("mdir", &["-/", "-b", "-i", text(partition.path()), "::"]);
    assert!(listed.contains("ssh_host_ed25519_key"), "{listed}");
}

#[test]
fn iso_is_a_whole_volume_with_rock_ridge_modes() {
    let fleet = Fleet::new();
    let (disc, _) = fleet.image(ConfigFormat::Iso, 1);
    let listed = judge("xorriso", &["-indev", text(&disc), "-find", "/local/etc/ssh", "-exec", "lsdl"]);
    let key = listed.lines().find(|line| line.contains("ssh_host_ed25519_key'")).unwrap_or_else(|| panic!("{listed}"));
    assert!(key.starts_with("-rw-------"), "{key}");
}

#[test]
fn a_bios_that_tries_a_config_disk_goes_on_to_its_next_device() {
    let fleet = Fleet::new();
    let sector = |format, partition| {
        let mut bytes = std::fs::read(fleet.image(format, partition).0).unwrap();
        bytes.truncate(512);
        bytes
    };
    for (format, partition) in [(ConfigFormat::Ext4, 1), (ConfigFormat::Vfat, 1), (ConfigFormat::Ext4, 3)] {
        let sector = sector(format, partition);
        assert_eq!(sector[510..], [0x55, 0xaa], "{format:?}");
        assert_eq!(sector[..boot_code::SIZE], boot_code::next_device(), "{format:?}");
    }
    // Without a boot signature it is not tried.
    assert_eq!(sector(ConfigFormat::Iso, 1), [0; 512]);
}

#[test]
fn the_same_fleet_gives_the_same_bytes_and_another_node_other_guids() {
    let fleet = Fleet::new();
    for (format, partition) in [(ConfigFormat::Ext4, 1), (ConfigFormat::Vfat, 2), (ConfigFormat::Iso, 1)] {
        let first = std::fs::read(fleet.image(format, partition).0).unwrap();
        assert!(first == std::fs::read(fleet.image(format, partition).0).unwrap(), "{format:?}");
    }
    let (disk, _) = fleet.image(ConfigFormat::Ext4, 1);
    let guid = |disk: &Path| {
        let info = judge("sgdisk", &["-p", text(disk)]);
        info.lines().find(|line| line.starts_with("Disk identifier")).unwrap().to_owned()
    };
    let node1 = guid(&disk);
    let nodes = fleet.folder.path().join("pservers");
    std::fs::rename(nodes.join("node1"), nodes.join("node2")).unwrap();
    std::fs::remove_file(nodes.join("node2/appliance.toml")).unwrap();
    let file = fleet.folder.path().join("node2.img");
    let image = ConfigImage { node: "node2".into(), format: ConfigFormat::Ext4, partition: 1, time: 1_700_000_000 };
    image.write(fleet.folder.path(), &file).unwrap();
    assert_ne!(node1, guid(&file));
}

#[test]
fn names_as_long_as_names_can_be_are_kept_or_left_out_with_a_warning() {
    let fleet = Fleet::new();
    let etc = fleet.folder.path().join("pservers/node1/etc");
    // 255 bytes is Linux's bound; 127 of two bytes each are within it and no more for FAT, which counts in UTF-16.
    let (ascii, umlauts) = ("n".repeat(255), "ü".repeat(127));
    for name in [&ascii, &umlauts] {
        std::fs::write(etc.join(name), "text\n").unwrap();
    }
    let (disk, written) = fleet.image(ConfigFormat::Ext4, 1);
    assert_eq!(written.warnings, Vec::<String>::new());
    let ext4 = partition(&disk, 1);
    judge("e2fsck", &["-fn", text(ext4.path())]);
    let listed = judge("debugfs", &["-R", "ls -l /local/etc", text(ext4.path())]);
    assert!(listed.contains(&ascii) && listed.contains(&"\\xc3\\xbc".repeat(127)), "{listed}");
    let (disk, written) = fleet.image(ConfigFormat::Vfat, 1);
    assert_eq!(written.warnings, Vec::<String>::new());
    let fat = partition(&disk, 1);
    judge("fsck.fat", &["-n", text(fat.path())]);
    let listed = judge("mdir", &["-/", "-b", "-i", text(fat.path()), "::"]);
    assert!(listed.contains(&ascii), "{listed}");
    let (disc, _) = fleet.image(ConfigFormat::Iso, 1);
    let listed = judge("xorriso", &["-indev", text(&disc), "-find", "/local/etc"]);
    assert!(listed.contains(&ascii) && listed.contains(&umlauts), "{listed}");
}

#[test]
fn a_signal_leaves_either_the_whole_image_or_nothing() {
    use nix::sys::signal::{Signal, kill};
    let fleet = Fleet::new();
    // A hole; its zeros are written one by one.
    let data = std::fs::File::create(fleet.folder.path().join("pservers/node1/data")).unwrap();
    data.set_len(100 << 20).unwrap();
    let out = tempfile::tempdir().unwrap();
    let names =
        || -> Vec<_> { std::fs::read_dir(out.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect() };
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("applbuild"))
        .args(["config", "image", "--node", "node1", "--format", "iso", "--fleet", text(fleet.folder.path()), "-o"])
        .arg(out.path().join("config.iso"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while names().is_empty() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    // One that has ended is not waited for yet, so its id is nobody else's.
    kill(nix::unistd::Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    match child.wait().unwrap().code() {
        Some(130) => assert_eq!(names(), [""; 0]),
        other => assert_eq!((other, names()), (Some(0), vec!["config.iso".into()])),
    }
}
