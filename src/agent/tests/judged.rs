//! Others make the devices, and blkid and xorriso judge what the probes say of them.

use applbuild_test_support::judges::judge;
use appliance_agent::formats::iso::Volume;
use appliance_shared::gpt;
use appliance_shared::probe::{Contents, FileSystem, FileSystemKind, Member, probe};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn run(tool: &str, arguments: &[&str]) -> String {
    let output = judge(tool).args(arguments).output().unwrap();
    assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

struct Disk {
    _folder: TempDir,
    path: PathBuf,
}

impl Disk {
    fn new(mib: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("disk");
        File::create(&path).unwrap().set_len(mib << 20).unwrap();
        Self { _folder: folder, path }
    }

    /// A disk on which `tool` was run, with the file last.
    fn made(mib: u64, tool: &str, arguments: &[&str]) -> Self {
        let disk = Self::new(mib);
        run(tool, &[arguments, &[disk.text()]].concat());
        disk
    }

    fn text(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn probe(&self) -> Contents {
        probe(&File::open(&self.path).unwrap()).unwrap()
    }

    fn file_system(&self) -> FileSystem {
        match self.probe() {
            Contents::FileSystem(found) => found,
            other => panic!("{other:?}"),
        }
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        let mut file = File::options().write(true).open(&self.path).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(bytes).unwrap();
    }

    fn blkid(&self) -> BTreeMap<String, String> {
        let out = run("blkid", &["-p", "-o", "export", self.text()]);
        out.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.into(), v.replace('\\', ""))).collect()
    }

    /// Compares with blkid; gives what both say.
    fn judged(&self) -> FileSystem {
        let found = self.file_system();
        let blkid = self.blkid();
        let kind = match blkid["TYPE"].as_str() {
            "ext2" | "ext3" => "ext4",
            other => other,
        };
        assert_eq!(found.kind.name(), kind);
        assert_eq!(found.uuid.as_ref(), blkid.get("UUID"));
        assert_eq!(found.label.as_ref(), blkid.get("LABEL"));
        found
    }
}

#[test]
fn ext2_ext3_and_ext4() {
    for kind in ["ext2", "ext3", "ext4"] {
        let found = Disk::made(16, "mkfs.ext4", &["-q", "-F", "-t", kind, "-L", "config web 1"]).judged();
        assert_eq!(found.label.as_deref(), Some("config web 1"));
        assert!(!found.needs_recovery);
    }
    let small_blocks = Disk::made(8, "mkfs.ext4", &["-q", "-F", "-b", "1024", "-L", "0123456789abcdef"]);
    assert_eq!(small_blocks.judged().label.as_deref(), Some("0123456789abcdef"));
    assert_eq!(Disk::made(8, "mkfs.ext4", &["-q", "-F"]).judged().label, None);
}

#[test]
fn an_external_journal_is_a_member() {
    let disk = Disk::made(16, "mkfs.ext4", &["-q", "-F", "-b", "4096", "-O", "journal_dev"]);
    assert_eq!(disk.probe(), Contents::Member(Member::ExtJournal));
    assert_eq!(disk.blkid()["TYPE"], "jbd");
}

#[test]
fn fat_of_all_widths() {
    for (mib, width, sector) in [(2, "12", "512"), (16, "16", "512"), (64, "32", "512"), (64, "16", "2048")] {
        let disk = Disk::made(mib, "mkfs.vfat", &["-F", width, "-S", sector, "-i", "cafe0123", "-n", "CONFIG"]);
        let found = disk.judged();
        assert_eq!((found.uuid.as_deref(), found.label.as_deref()), (Some("CAFE-0123"), Some("CONFIG")), "FAT{width}");
    }
    assert_eq!(Disk::made(16, "mkfs.vfat", &["-F", "16"]).judged().label, None);
}

#[test]
fn xfs_and_btrfs() {
    // mkfs.xfs refuses less than 300 MiB; the files are sparse.
    let found = Disk::made(320, "mkfs.xfs", &["-q", "-f", "-L", "config"]).judged();
    assert_eq!((found.kind, found.label.as_deref()), (FileSystemKind::Xfs, Some("config")));
    let found = Disk::made(128, "mkfs.btrfs", &["-q", "-f", "-L", "a long label"]).judged();
    assert_eq!((found.kind, found.label.as_deref()), (FileSystemKind::Btrfs, Some("a long label")));
}

#[test]
fn one_of_two_devices_of_a_btrfs_is_a_member() {
    let (first, second) = (Disk::new(128), Disk::new(128));
    run("mkfs.btrfs", &["-q", "-f", "-d", "single", "-m", "raid1", first.text(), second.text()]);
    for disk in [first, second] {
        assert_eq!(disk.probe(), Contents::Member(Member::Btrfs { devices: 2 }));
    }
}

#[test]
fn swap_is_no_file_system() {
    let disk = Disk::made(8, "mkswap", &["-L", "swap"]);
    assert_eq!(disk.probe(), Contents::Member(Member::Swap));
    assert_eq!(disk.blkid()["TYPE"], "swap");
}

/// An md superblock as blkid wants it: version 1 with its checksum (kernel: drivers/md/md.c, calc_sb_1_csum).
fn md_1(minor: &str, size: u64) -> (u64, Vec<u8>) {
    let offset = match minor {
        "1.0" => (size / 512 - 16) / 8 * 8 * 512,
        "1.1" => 0,
        _ => 4096,
    };
    let mut block = vec![0; 256];
    block[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
    block[4] = 1;
    block[16] = 7;
    block[144..152].copy_from_slice(&(offset / 512).to_le_bytes());
    let sum: u64 = block.chunks_exact(4).map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap()))).sum();
    let folded = (sum & 0xffff_ffff) + (sum >> 32);
    block[216..220].copy_from_slice(&(folded as u32).to_le_bytes());
    (offset, block)
}

#[test]
fn half_a_mirror_is_a_member_although_its_file_system_shows() {
    for (version, known) in [("1.0", "1.0"), ("1.1", "1.1"), ("1.2", "1.2")] {
        let disk = Disk::made(16, "mkfs.ext4", &["-q", "-F"]);
        let (offset, block) = md_1(version, 16 << 20);
        disk.write(offset, &block);
        assert_eq!(disk.probe(), Contents::Member(Member::Raid(known)));
        assert_eq!(disk.blkid()["TYPE"], "linux_raid_member", "{version}");
    }
}

#[test]
fn partitions_as_sgdisk_made_them() {
    let disk = Disk::new(64);
    run(
        "sgdisk",
        &[
            "-n",
            "1:2048:+8M",
            "-t",
            "1:6f9a1b52-3c8e-4d07-a1f4-5b0c9e72d3a8",
            "-c",
            "1:config für web1",
            "-n",
            "4:0:+1M",
            "-t",
            "4:8300",
            "-u",
            "4:11111111-2222-3333-4444-555555555555",
            disk.text(),
        ],
    );
    let check = |found: Vec<gpt::Partition>| {
        assert_eq!(found.iter().map(|partition| partition.number).collect::<Vec<_>>(), [1, 4]);
        assert_eq!(found[0].type_guid, appliance_contract::gpt_types::CONFIG);
        assert_eq!(found[0].name, "config für web1");
        assert_eq!((found[0].first_byte, found[0].last_byte), (1 << 20, (9 << 20) - 1));
        assert_eq!(found[1].guid, "11111111-2222-3333-4444-555555555555");
    };
    assert_eq!(disk.probe(), Contents::PartitionTable);
    check(gpt::partitions(&File::open(&disk.path).unwrap()).unwrap().unwrap());
    // The first copy gone: the backup says the same.
    disk.write(512, &[0; 4096]);
    check(gpt::partitions(&File::open(&disk.path).unwrap()).unwrap().unwrap());
}

fn iso(options: &[&str], tree: &Path) -> Disk {
    let disk = Disk::new(0);
    fs::remove_file(&disk.path).unwrap();
    let made = ["-as", "mkisofs", "-quiet", "-V", "HOST_2026", "-o", disk.text()];
    run("xorriso", &[&made, options, &[tree.to_str().unwrap()]].concat());
    disk
}

/// A tree with what makes ISO 9660 difficult: names that need continuation areas, depth, and more than one sector
/// of a directory. (Still longer names together meet a fault of libisofs 1.5.4: "tree end address mismatch".)
fn tree() -> TempDir {
    let folder = TempDir::new().unwrap();
    let deep = "one/two/three/four/five/six/seven/eight/nine/ten";
    fs::create_dir_all(folder.path().join(deep)).unwrap();
    fs::create_dir(folder.path().join("appliance")).unwrap();
    for path in ["appliance/root.squashfs", "appliance/SHA256SUMS", "PLAIN.TXT", &format!("{deep}/file")] {
        fs::write(folder.path().join(path), path.repeat(500)).unwrap();
    }
    for number in 0..100 {
        let name = format!("appliance/{number:02}-{}", "a-long-name-".repeat(12));
        fs::write(folder.path().join(name), number.to_string()).unwrap();
    }
    folder
}

fn bytes_of(disk: &Disk, path: &str) -> Vec<u8> {
    let mut file = File::open(&disk.path).unwrap();
    let range = Volume::open(&file).unwrap().find(path).unwrap_or_else(|error| panic!("{error}"));
    let mut bytes = vec![0; range.length as usize];
    file.seek(SeekFrom::Start(range.offset)).unwrap();
    file.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn files_of_an_iso_by_xorriso() {
    let tree = tree();
    let deep = "one/two/three/four/five/six/seven/eight/nine/ten/file";
    let last = format!("appliance/99-{}", "a-long-name-".repeat(12));
    for options in [&["-R", "-J"][..], &["-R", "-iso-level", "3"], &["-R", "-hide-rr-moved"]] {
        let disk = iso(options, tree.path());
        let found = disk.judged();
        assert_eq!((found.kind, found.label.as_deref()), (FileSystemKind::Iso9660, Some("HOST_2026")));
        let file = File::open(&disk.path).unwrap();
        let volume = Volume::open(&file).unwrap();
        assert_eq!((&volume.uuid, &volume.label), (&found.uuid, &found.label));
        for path in ["appliance/root.squashfs", "appliance/SHA256SUMS", "PLAIN.TXT", deep, &last] {
            let expected = fs::read(tree.path().join(path)).unwrap();
            assert!(bytes_of(&disk, &format!("/{path}")) == expected, "{path} with {options:?}");
        }
        assert!(volume.find("/appliance/none").is_err());
    }
}

#[test]
fn plain_names_without_rock_ridge() {
    let tree = TempDir::new().unwrap();
    fs::create_dir(tree.path().join("BOOT")).unwrap();
    fs::write(tree.path().join("BOOT/KERNEL.BIN"), "kernel").unwrap();
    fs::write(tree.path().join("BOOT/VMLINUZ"), "linux").unwrap();
    // xorriso writes Rock Ridge unless told not to.
    let disk = iso(&["--norock"], tree.path());
    assert_eq!(bytes_of(&disk, "/boot/kernel.bin"), b"kernel");
    assert_eq!(bytes_of(&disk, "/BOOT/VMLINUZ"), b"linux");
}

#[test]
fn an_iso_with_a_partition_table_is_an_iso() {
    let tree = tree();
    let second = Disk::made(1, "mkfs.vfat", &["-n", "SECOND"]);
    let disk = iso(&["-R", "-append_partition", "2", "0xef", second.text()], tree.path());
    assert_eq!(disk.judged().kind, FileSystemKind::Iso9660);
}

/// Numbers that are the same on each run (Numerical Recipes' generator).
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[test]
fn damage_to_real_file_systems_never_panics() {
    let tree = tree();
    let disks = [
        Disk::made(2, "mkfs.ext4", &["-q", "-F"]),
        Disk::made(2, "mkfs.vfat", &["-n", "CONFIG"]),
        Disk::made(2, "mkswap", &[]),
        iso(&["-R", "-J"], tree.path()),
    ];
    let mut state = 1;
    for disk in disks {
        let good = fs::read(&disk.path).unwrap();
        for _ in 0..500 {
            let mut bad = good.clone();
            for _ in 0..1 + random(&mut state) % 40 {
                let place = random(&mut state) % good.len().min(160 * 1024);
                bad[place] = random(&mut state) as u8;
            }
            probe(&bad).unwrap();
            let _ = gpt::partitions(&bad);
            if let Ok(volume) = Volume::open(&bad)
                && let Ok(range) = volume.find("/appliance/root.squashfs")
            {
                assert!(range.offset + range.length <= bad.len() as u64);
            }
        }
    }
}

/// Every path below `folder` with what it is.
fn listing(folder: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().unwrap();
        let text = if kind.is_dir() {
            listing(&entry.path(), &path, found);
            "folder".to_owned()
        } else if kind.is_symlink() {
            format!("-> {}", fs::read_link(entry.path()).unwrap().display())
        } else {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            format!("{mode:o} {}", fs::read_to_string(entry.path()).unwrap())
        };
        found.insert(path, text);
    }
}

#[test]
fn xorriso_reads_the_disk_that_serves_a_config() {
    use appliance_agent::formats::iso_writer::{Folder, Node, write};
    let file = |mode, text: &str| Node::File { mode, bytes: text.as_bytes().to_vec() };
    let folder = |entries: Vec<(String, Node)>| Folder {
        mode: 0o755,
        entries: entries.into_iter().map(|(name, node)| (name.into_bytes(), node)).collect(),
    };
    let mut deep = folder(vec![("file".to_owned(), file(0o600, "deep"))]);
    for level in 0..12 {
        deep = folder(vec![(format!("level {level}"), Node::Folder(deep))]);
    }
    let far = format!("/{}/x", ["component"; 40].join("/"));
    let root = folder(vec![
        ("appliance.toml".to_owned(), file(0o644, "schema = 1\n")),
        ("Großer Name.conf".to_owned(), file(0o755, "x")),
        ("l".repeat(255), file(0o640, "long")),
        ("deep".to_owned(), Node::Folder(deep)),
        ("near".to_owned(), Node::Link(b"../a/./b".to_vec())),
        ("far".to_owned(), Node::Link(far.clone().into_bytes())),
        ("many".to_owned(), Node::Folder(folder((0..100).map(|n| (format!("f{n}"), file(0o644, "many"))).collect()))),
    ]);
    let disk = Disk::new(0);
    fs::write(&disk.path, write(&root, "APPLIANCE_CONFIG").unwrap()).unwrap();
    let out = TempDir::new().unwrap();
    let target = out.path().join("tree");
    run("xorriso", &["-osirrox", "on", "-indev", disk.text(), "-extract", "/", target.to_str().unwrap()]);
    let mut found = BTreeMap::new();
    listing(&target, "", &mut found);
    assert_eq!(found["/appliance.toml"], "644 schema = 1\n");
    assert_eq!(found["/Großer Name.conf"], "755 x");
    assert_eq!(found[&format!("/{}", "l".repeat(255))], "640 long");
    assert_eq!(found["/near"], "-> ../a/./b");
    assert_eq!(found["/far"], format!("-> {far}"));
    let levels: String = (0..12).rev().map(|level| format!("/level {level}")).collect();
    assert_eq!(found[&format!("/deep{levels}/file")], "600 deep");
    assert_eq!(found.iter().filter(|(path, text)| path.starts_with("/many/") && *text == "644 many").count(), 100);
    assert_eq!(disk.file_system().label.as_deref(), Some("APPLIANCE_CONFIG"));
    assert_eq!(disk.blkid()["TYPE"], "iso9660");
}
