use super::*;
use crate::gpt::fixture::disk;
use proptest::prelude::*;

const SIZE: usize = 1024 * 1024;

fn with(parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut image = vec![0; SIZE];
    for (at, bytes) in parts {
        image[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    image
}

fn probed(parts: &[(usize, &[u8])]) -> Contents {
    probe(&with(parts)).unwrap()
}

fn kind(contents: &Contents) -> Option<FileSystemKind> {
    match contents {
        Contents::FileSystem(found) => Some(found.kind),
        _ => None,
    }
}

const UUID: [u8; 16] = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8];
const UUID_TEXT: &str = "12345678-9abc-def0-0102-030405060708";
const EXT4: [(usize, &[u8]); 3] = [(1024 + 0x38, &[0x53, 0xef]), (1024 + 0x68, &UUID), (1024 + 0x78, b"config\0x")];
const MD: [u8; 8] = [0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0];
/// An MBR with one Linux partition: sectors 2048 and on, 64 of them.
const MBR: [(usize, &[u8]); 2] = [(446, &[0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 64, 0, 0, 0]), (510, &[0x55, 0xaa])];

fn ext4_and(more: &[(usize, &[u8])]) -> Contents {
    probed(&[&EXT4, more].concat())
}

#[test]
fn reads_ext4_and_its_journals_state() {
    let expected = FileSystem {
        kind: FileSystemKind::Ext4,
        uuid: Some(UUID_TEXT.into()),
        label: Some("config".into()),
        needs_recovery: false,
    };
    assert_eq!(probed(&EXT4), Contents::FileSystem(expected.clone()));
    let dirty = FileSystem { needs_recovery: true, ..expected };
    assert_eq!(ext4_and(&[(1024 + 0x60, &[4])]), Contents::FileSystem(dirty));
    assert_eq!(ext4_and(&[(1024 + 0x60, &[8])]), Contents::Member(Member::ExtJournal));
}

#[test]
fn reads_btrfs_and_tells_one_of_many() {
    let base: [(usize, &[u8]); 5] = [
        (65536 + 0x40, b"_BHRfS_M"),
        (65536 + 0x30, &[0, 0, 1]),
        (65536 + 0x20, &UUID),
        (65536 + 0x12b, b"data"),
        (65536 + 0x88, &[1]),
    ];
    let Contents::FileSystem(found) = probed(&base) else { panic!() };
    assert_eq!((found.kind, found.uuid.as_deref()), (FileSystemKind::Btrfs, Some(UUID_TEXT)));
    assert_eq!((found.label.as_deref(), found.needs_recovery), (Some("data"), false));
    let many = [&base[..], &[(65536 + 0x88, &[2])]].concat();
    assert_eq!(probed(&many), Contents::Member(Member::Btrfs { devices: 2 }));
    let logged = [&base[..], &[(65536 + 0x60, &[1])]].concat();
    let Contents::FileSystem(found) = probed(&logged) else { panic!() };
    assert!(found.needs_recovery);
}

#[test]
fn members_win_over_the_file_system_they_show() {
    type Parts = Vec<(usize, Vec<u8>)>;
    let end = |back: usize| SIZE - back;
    let version_1 = |offset: usize| -> Parts {
        vec![(offset, MD.to_vec()), (offset + 144, (offset as u64 / 512).to_le_bytes().to_vec())]
    };
    let mut cases: Vec<(Parts, Member)> = vec![
        (version_1(end(8192)), Member::Raid("1.0")),
        (version_1(4096), Member::Raid("1.2")),
        (version_1(0), Member::Raid("1.1")),
        (vec![(end(65536), vec![0xfc, 0x4e, 0x2b, 0xa9, 0, 0, 0, 0])], Member::Raid("0.90")),
        (vec![(end(65536), vec![0xa9, 0x2b, 0x4e, 0xfc, 0, 0, 0, 0])], Member::Raid("0.90")),
        (vec![(end(1024), b"Intel Raid ISM Cfg Sig. 1.3".to_vec())], Member::Raid("imsm")),
        (vec![(end(512), vec![0xde, 0x11, 0xde, 0x11])], Member::Raid("ddf")),
        (vec![(512, b"LABELONE".to_vec()), (536, b"LVM2 001".to_vec())], Member::Lvm),
        (vec![(0, b"LUKS\xba\xbe\0\x02".to_vec())], Member::Luks),
        (vec![(0x4000, b"SKUL\xba\xbe\0\x02".to_vec())], Member::Luks),
        (vec![(3, b"-FVE-FS-".to_vec())], Member::BitLocker),
        (vec![(4086, b"SWAPSPACE2".to_vec())], Member::Swap),
        (vec![(65526, b"SWAPSPACE2".to_vec())], Member::Swap),
        (vec![(4086, b"S1SUSPEND\0".to_vec())], Member::Swap),
        (vec![(end(4096) + 60, vec![0x83, 0x74, 0x02, 0x6d])], Member::Drbd),
        (vec![(0, b"integrt\0".to_vec())], Member::DmIntegrity),
        (vec![(0, b"verity\0\0".to_vec())], Member::DmVerity),
    ];
    let ring = (0..4).map(|slot| (128 * 1024 + slot * 1024, 0x00ba_b10c_u64.to_le_bytes().to_vec())).collect();
    cases.push((ring, Member::Zfs));
    for (parts, member) in cases {
        let parts: Vec<(usize, &[u8])> = parts.iter().map(|(at, bytes)| (*at, bytes.as_slice())).collect();
        assert_eq!(ext4_and(&parts), Contents::Member(member.clone()), "{member}");
    }
}

#[test]
fn one_number_alone_makes_no_member() {
    // An md superblock that says it lies elsewhere: a copy inside a file.
    assert_eq!(kind(&ext4_and(&[(4096, &MD), (4096 + 144, &[9])])), Some(FileSystemKind::Ext4));
    assert_eq!(kind(&ext4_and(&[(512, b"LABELONE")])), Some(FileSystemKind::Ext4));
    assert_eq!(kind(&ext4_and(&[(128 * 1024, &[0x0c, 0xb1, 0xba, 0])])), Some(FileSystemKind::Ext4));
}

#[test]
fn an_array_in_the_last_partition_is_not_the_disks() {
    let mut image = disk(400, &[(40, 366)]);
    // Version 1.0 of a partition that ended with the disk would stand 8 KiB before the end.
    let offset = (400usize - 16) / 8 * 8 * 512;
    image[offset..offset + 8].copy_from_slice(&MD);
    image[offset + 144..offset + 152].copy_from_slice(&(offset as u64 / 512).to_le_bytes());
    // The backup table lies there too and is damaged by it, so the first one decides.
    assert_eq!(probe(&image).unwrap(), Contents::Member(Member::Raid("1.0")));
    let mut covering = with(&MBR);
    covering[446 + 8..446 + 12].copy_from_slice(&64u32.to_le_bytes());
    covering[446 + 12..446 + 16].copy_from_slice(&((SIZE / 512 - 64) as u32).to_le_bytes());
    let offset = SIZE - 8192;
    covering[offset..offset + 8].copy_from_slice(&MD);
    covering[offset + 144..offset + 152].copy_from_slice(&(offset as u64 / 512).to_le_bytes());
    assert_eq!(probe(&covering).unwrap(), Contents::PartitionTable);
}

#[test]
fn tables_and_what_may_stand_before_them() {
    let iso: (usize, &[u8]) = (32768, b"\x01CD001\x01");
    assert_eq!(probed(&MBR), Contents::PartitionTable);
    assert_eq!(probe(&disk(400, &[(40, 99)])).unwrap(), Contents::PartitionTable);
    assert_eq!(kind(&probed(&[MBR[0], MBR[1], iso])), Some(FileSystemKind::Iso9660));
    // A stale ISO under a later ext4, and a stale ext4 under a later table.
    assert_eq!(kind(&ext4_and(&[iso])), Some(FileSystemKind::Ext4));
    assert_eq!(ext4_and(&MBR), Contents::PartitionTable);
    // Boot code alone is no table.
    assert_eq!(probed(&[(0, &[0xfa]), (510, &[0x55, 0xaa])]), Contents::Unknown);
}

#[test]
fn unsupported_file_systems_have_names() {
    for (parts, expected) in [
        ((3usize, b"NTFS    ".as_slice()), FileSystemKind::Ntfs),
        ((3, b"EXFAT   "), FileSystemKind::Exfat),
        ((1024, &[0x10, 0x20, 0xf5, 0xf2]), FileSystemKind::F2fs),
        ((1024, &[0xe2, 0xe1, 0xf5, 0xe0]), FileSystemKind::Erofs),
    ] {
        assert_eq!(kind(&probed(&[parts])), Some(expected));
        assert!(!expected.may_hold_config());
    }
    let udf = probed(&[(32768, b"\0BEA01\x01"), (34816, b"\0NSR02\x01")]);
    assert_eq!(kind(&udf), Some(FileSystemKind::Udf));
}

#[test]
fn an_iso_has_the_uuid_of_its_dates() {
    let dated = |modified: &[u8]| {
        let parts =
            [(32768usize, b"\x01CD001\x01".as_slice()), (32768 + 813, b"2026010203040506\0"), (32768 + 830, modified)];
        match probed(&parts) {
            Contents::FileSystem(found) => found.uuid,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(dated(b"2026110112131415\0").as_deref(), Some("2026-11-01-12-13-14-15"));
    assert_eq!(dated(b"0000000000000000\0").as_deref(), Some("2026-01-02-03-04-05-06"));
}

#[test]
fn fat_needs_sense_in_all_its_fields() {
    let mut boot = [0u8; 512];
    boot[..3].copy_from_slice(&[0xeb, 0x3c, 0x90]);
    boot[11..14].copy_from_slice(&[0, 2, 4]);
    boot[14] = 1;
    boot[16] = 2;
    boot[18] = 2;
    boot[19..21].copy_from_slice(&2048u16.to_le_bytes());
    boot[21] = 0xf8;
    boot[22] = 2;
    boot[38] = 0x29;
    boot[39..43].copy_from_slice(&[0xef, 0xbe, 0xad, 0xde]);
    boot[43..54].copy_from_slice(b"OLDNAME    ");
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    let label = |parts: &[(usize, &[u8])]| match probed(parts) {
        Contents::FileSystem(found) => (found.uuid, found.label),
        other => panic!("{other:?}"),
    };
    let named = |label: &str| (Some("DEAD-BEEF".to_owned()), Some(label.to_owned()));
    assert_eq!(label(&[(0, &boot)]), named("OLDNAME"));
    // The root directory follows one boot sector and two FATs of two sectors.
    let entries: &[u8] = b"FILE    TXT\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0NEW NAME   \x08";
    assert_eq!(label(&[(0, &boot), (5 * 512, entries)]), named("NEW NAME"));
    for (at, value) in [(0, 0), (11, 1), (13, 3), (14, 0), (16, 0), (16, 9), (18, 0), (21, 1), (22, 0), (510, 0)] {
        let mut bad = boot;
        bad[at] = value;
        assert_eq!(probed(&[(0, &bad)]), Contents::Unknown, "byte {at}");
    }
    let small = with(&[(0, &boot)])[..1000 * 512].to_vec();
    assert_eq!(probe(&small).unwrap(), Contents::Unknown);
}

#[test]
fn nothing_is_empty_and_garbage_unknown() {
    assert_eq!(probe(&vec![0; SIZE]).unwrap(), Contents::Empty);
    assert_eq!(probe(&vec![0x5a; SIZE]).unwrap(), Contents::Unknown);
    for size in [0, 1, 511, 512, 1024, 4096, 65536] {
        assert!(probe(&vec![0; size]).is_ok(), "{size}");
        assert!(probe(&vec![0xff; size]).is_ok(), "{size}");
    }
}

#[test]
fn an_unreadable_device_is_an_error() {
    struct Broken;
    impl ReadAt for Broken {
        fn read_exact_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Other.into())
        }
        fn size(&self) -> io::Result<u64> {
            Ok(1 << 30)
        }
    }
    assert!(probe(&Broken).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        seeds in proptest::collection::vec(0usize..8, 0..4),
        changes in proptest::collection::vec((0usize..140_000, any::<u8>()), 0..60),
        near in proptest::collection::vec((0usize..600, any::<u8>()), 0..60),
        size in 0usize..200_000,
    ) {
        let known: [(usize, &[u8]); 8] = [
            (1024 + 0x38, &[0x53, 0xef]), (0, b"XFSB\0\0\x10\0"), (65536 + 0x40, b"_BHRfS_M"), (32768, b"\x01CD001\x01"),
            (0, &[0xeb, 0x3c, 0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 1, 0, 2]), (510, &[0x55, 0xaa]), (512, b"EFI PART\0\0\x01\0\x5c"),
            (4096, &MD),
        ];
        let mut image = vec![0; 200_000];
        for (at, bytes) in seeds.into_iter().map(|seed| known[seed]) {
            image[at..at + bytes.len()].copy_from_slice(bytes);
        }
        for (at, byte) in changes.into_iter().chain(near) {
            image[at] = byte;
        }
        image.truncate(size);
        prop_assert!(probe(&image).is_ok());
    }
}
