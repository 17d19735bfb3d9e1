use super::*;
use crate::formats::iso_writer::{self, Folder, Node};
use crate::formats::verity::hex;
use appliance_contract::medium_record::{OFFSET, PartSum, SIZE, SUPERBLOCK};
use appliance_shared::gpt;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const ROOT: &str = "/appliance/root.squashfs";
const HASH_OFFSET: u64 = 8192;
const ROOT_SIZE: usize = HASH_OFFSET as usize + 3 * SUPERBLOCK;
const ESP_SIZE: usize = 20 * 2048;
const PADDING: usize = 8 * 2048;
/// C12A7328-F81F-11D2-BA4B-00A0C93EC93B as it lies on disk.
const ESP_TYPE: [u8; 16] =
    [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
const MBR_ENTRIES: Range<usize> = 446..510;

fn folder(entries: Vec<(&str, Node)>) -> Node {
    let entries = entries.into_iter().map(|(name, node)| (name.as_bytes().to_vec(), node)).collect();
    Node::Folder(Folder { mode: 0o755, entries })
}

/// Bytes that are not all the same, so that nothing is like its neighbour.
fn noise(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3] ^ seed).collect()
}

fn volume() -> Vec<u8> {
    let file = |bytes: Vec<u8>| Node::File { mode: 0o644, bytes };
    let files = [("boot/vmlinuz", noise(5000, 1)), ("appliance/root.squashfs", noise(ROOT_SIZE, 2))];
    let line = |(path, bytes): &(&str, Vec<u8>)| format!("{}  {path}\n", hex(&Sha256::digest(bytes)));
    let list: String = files.iter().map(line).collect();
    let [(_, kernel), (_, root)] = files;
    let ours = vec![("SHA256SUMS", file(list.into_bytes())), ("root.squashfs", file(root))];
    let tree = folder(vec![("appliance", folder(ours)), ("boot", folder(vec![("vmlinuz", file(kernel))]))]);
    let Node::Folder(tree) = tree else { unreachable!() };
    iso_writer::write(&tree, "MEDIUM").unwrap()
}

fn place(medium: &dyn ReadAt, path: &str) -> Range<u64> {
    bytes_of(Volume::open(medium).unwrap().find(path).unwrap())
}

/// A medium as the builder lays one out: system area, descriptors, directories, files, EFI system partition, catalog, backup.
fn medium() -> Vec<u8> {
    let mut medium = volume();
    let esp = medium.len();
    medium.extend(noise(ESP_SIZE, 3));
    medium.extend(noise(3 * 2048, 4));
    let end = medium.len();
    medium.resize(end + PADDING + 9 * 2048, 0);
    medium[..440].copy_from_slice(&noise(440, 5));
    gpt::fixture::write(&mut medium, &[(ESP_TYPE, esp as u64 / 512, (esp + ESP_SIZE) as u64 / 512 - 1)]);
    let mbr = [(0x80, 0x17, 64, 100), (0, 0xef, esp as u32 / 512, ESP_SIZE as u32 / 512), (0, 0xee, 1, 63)];
    for (entry, (status, kind, first, count)) in medium[MBR_ENTRIES].chunks_exact_mut(16).zip(mbr) {
        (entry[0], entry[4]) = (status, kind);
        entry[8..12].copy_from_slice(&u32::to_le_bytes(first));
        entry[12..16].copy_from_slice(&u32::to_le_bytes(count));
    }
    medium[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut files: Vec<_> =
        ["/boot/vmlinuz", ROOT, medium::CHECKSUMS].iter().map(|path| place(&medium, path)).collect();
    files.sort_by_key(|file| file.start);
    let first = files[0].start;
    let mut ends = Part::FIXED_ENDS.to_vec();
    ends.extend([first, esp as u64, (esp + ESP_SIZE) as u64, end as u64, medium.len() as u64]);
    let list = place(&medium, medium::CHECKSUMS);
    let superblock = place(&medium, ROOT).start + HASH_OFFSET;
    let sum = |range: Range<u64>| sum_of(&medium, range, &[]).unwrap();
    let mut record = MediumRecord {
        checksums: sum(list),
        superblock: sum(superblock..superblock + SUPERBLOCK as u64),
        parts: std::array::from_fn(|index| PartSum { end: ends[index], sha256: [0; 32].into() }),
    };
    for part in Part::ALL {
        record.parts[part as usize].sha256 = sum_of(&medium, record.range(part), &files).unwrap();
    }
    medium[OFFSET as usize..][..SIZE].copy_from_slice(&record.to_bytes());
    medium
}

fn sum_of(medium: &[u8], range: Range<u64>, files: &[Range<u64>]) -> std::io::Result<appliance_contract::Sha256> {
    medium_record::sum(range, files, |at, piece| medium.read_exact_at(piece, at))
}

fn record(medium: &[u8]) -> MediumRecord {
    MediumRecord::parse(medium[OFFSET as usize..][..SIZE].try_into().unwrap()).unwrap().unwrap()
}

/// The medium on a larger stick, with a partition behind it and all tables of the right form.
fn with_partition() -> Vec<u8> {
    let mut stick = medium();
    let esp = record(&stick).range(Part::Esp);
    let behind = (stick.len() as u64 / 512).next_multiple_of(64);
    stick.resize((behind as usize + 200) * 512, 0);
    let old = (ESP_TYPE, esp.start / 512, esp.end / 512 - 1);
    gpt::fixture::write(&mut stick, &[old, (gpt::fixture::LINUX, behind, behind + 100)]);
    stick
}

fn look(medium: &dyn ReadAt) -> Findings {
    check(medium, &Known::default())
}

fn is_good(findings: &Findings) -> bool {
    findings.damaged.is_empty() && !findings.is_unrecorded && !findings.tables_changed
}

/// The one line that tells of damage.
fn damage(medium: &dyn ReadAt) -> String {
    let found = look(medium).damaged;
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0].clone()
}

#[test]
fn a_good_medium_is_good_on_a_disc_and_on_a_larger_stick() {
    let medium = medium();
    for (more, is_disc) in [(0, false), (0, true), (1 << 20, false), (4096, true)] {
        let mut device = medium.clone();
        device.resize(medium.len() + more, 0);
        let found = check(&device, &Known { verified: None, is_disc });
        assert!(is_good(&found), "{found:#?}");
        assert_eq!((found.files, found.length), (2, Some(medium.len() as u64)));
    }
}

#[test]
fn damage_is_named_by_its_part() {
    let medium = medium();
    let record = record(&medium);
    let start = |part| record.range(part).start as usize;
    let kernel = place(&medium, "/boot/vmlinuz");
    for (at, said) in [
        (100, "boot code of the MBR, bytes 0 to 439: SHA-256 is "),
        (450, "partition entries of the MBR, bytes 440 to 511: SHA-256 is "),
        (511, "partition entries of the MBR"),
        (1024 + 40, "partition table (GPT): partition table: the checksum of the entries is "),
        (20_000, "rest of the system area"),
        (16 * 2048 + 80, "volume descriptors and directories, bytes 32768 to "),
        (OFFSET as usize + 100, "the record of the medium's parts does not match its own checksum"),
        (kernel.start as usize, "/boot/vmlinuz, bytes "),
        (kernel.end as usize, "space between the files"),
        (place(&medium, medium::CHECKSUMS).start as usize + 64, "/appliance/SHA256SUMS, bytes "),
        (start(Part::Esp), "EFI system partition"),
        (start(Part::Catalog), "path tables and boot catalog"),
        (medium.len() - 1, "padding and backup of the partition table"),
    ] {
        let mut bad = medium.clone();
        bad[at] ^= 1;
        let found = look(&bad).damaged;
        assert!(found.iter().any(|line| line.starts_with(said)), "{at}: {said}: {found:#?}");
    }
}

#[test]
fn a_line_that_is_missing_from_the_list_is_found() {
    let mut medium = medium();
    let list = place(&medium, medium::CHECKSUMS);
    let list = &mut medium[list.start as usize..list.end as usize];
    let first = list.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    list[..first].fill(b'\n');
    let found = look(&medium).damaged;
    assert!(found.iter().any(|line| line.starts_with("/appliance/SHA256SUMS, bytes ")), "{found:#?}");
}

#[test]
fn of_a_root_that_dm_verity_has_read_the_superblock_is_still_to_be_checked() {
    let medium = medium();
    let root = place(&medium, ROOT).start as usize;
    let known = Known { verified: Some(VerifiedRoot { path: ROOT, superblock: HASH_OFFSET }), is_disc: false };
    let flipped = |at: usize| {
        let mut bad = medium.clone();
        bad[root + at] ^= 1;
        check(&bad, &known).damaged
    };
    for at in [HASH_OFFSET as usize, HASH_OFFSET as usize + SUPERBLOCK - 1] {
        let found = flipped(at);
        assert!(found[0].starts_with("verity superblock of the root image, bytes "), "{found:#?}");
    }
    // The rest is what dm-verity reads.
    for at in [0, HASH_OFFSET as usize - 1, HASH_OFFSET as usize + SUPERBLOCK] {
        assert_eq!(flipped(at), [""; 0]);
    }
}

#[test]
fn a_medium_without_a_record_is_not_called_good() {
    let mut medium = medium();
    medium[OFFSET as usize..][..SIZE].fill(0);
    let found = look(&medium);
    assert_eq!((found.damaged.len(), found.is_unrecorded, found.length), (0, true, None));
}

#[test]
fn what_is_missing_at_the_end_is_told_with_both_lengths() {
    let medium = medium();
    let mut short = medium.clone();
    short.truncate(record(&medium).range(Part::Esp).end as usize - 1);
    assert_eq!(
        damage(&short),
        format!(
            "the medium ends after {} bytes, expected {}; it lacks some or all bytes of: EFI system partition, path \
             tables and boot catalog, padding and backup of the partition table",
            short.len(),
            medium.len()
        )
    );
}

#[test]
fn an_added_partition_is_told_and_is_no_damage() {
    let found = look(&with_partition());
    assert!(found.damaged.is_empty() && found.tables_changed, "{found:#?}");
    // Nobody adds one to a disc.
    let found = check(&with_partition(), &Known { verified: None, is_disc: true }).damaged;
    assert!(found[0].starts_with("partition table (GPT), bytes 512 to 17407: SHA-256 is "), "{found:#?}");
}

#[test]
fn tables_that_were_changed_must_be_valid() {
    let stick = with_partition();
    let backup = stick.len() - 512;
    type Edit = fn(&mut Vec<u8>, usize);
    let cases: [(Edit, &str); 9] = [
        (|b, _| b[512 + 24] ^= 2, "partition table (GPT): partition table: the header's checksum is "),
        (|b, _| b[512] = 0, "the number of headers at the byte where one is expected is 0, expected 1"),
        (|b, backup| b[backup + 16] ^= 1, "partition table (GPT): its backup: partition table: the header's checksum"),
        (|b, _| b[510] = 0, "partition entries of the MBR: the boot signature is 0xaa00, expected 0xaa55"),
        (|b, _| b[446] = 1, "the status of an entry is 0x1, expected 0x80"),
        (|b, _| b[462] = 0x80, "the number of active entries is 0x2, expected 0x1"),
        (|b, _| b[446 + 15] = 0x7f, "sectors from 64 on, expected some of 1 to "),
        (|b, _| b[478 + 4] = 0xec, "no entry has type 0xee and begins at sector 1"),
        (|b, _| b[478 + 8] = 2, "no entry has type 0xee and begins at sector 1"),
    ];
    for (edit, said) in cases {
        let mut bad = stick.clone();
        edit(&mut bad, backup);
        let found = damage(&bad);
        assert!(found.contains(said), "{said}: {found}");
    }
    let esp = record(&stick).range(Part::Esp);
    for (partitions, said) in [
        (vec![(gpt::fixture::LINUX, 500, 510)], "it has no EFI system partition"),
        (vec![(ESP_TYPE, esp.start / 512 + 1, esp.end / 512 - 1)], "the EFI system partition's first byte is "),
        (vec![(ESP_TYPE, esp.start / 512, esp.end / 512)], "the EFI system partition's last byte is "),
    ] {
        let mut bad = stick.clone();
        gpt::fixture::write(&mut bad, &partitions);
        let found = damage(&bad);
        assert!(found.contains(said), "{said}: {found}");
    }
    // A backup of a table of before.
    let mut bad = stick.clone();
    gpt::fixture::write(&mut bad, &[(ESP_TYPE, esp.start / 512, esp.end / 512 - 1)]);
    bad[..17_408].copy_from_slice(&stick[..17_408]);
    assert!(damage(&bad).contains("the checksum of the backup's entries is "), "{}", damage(&bad));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// But for the disk signature, which no boot reads.
    #[test]
    fn whatever_byte_is_damaged_the_medium_is_not_good(at in any::<proptest::sample::Index>(), bit in 0..8u8) {
        let mut medium = medium();
        let at = at.index(medium.len());
        medium[at] ^= 1 << bit;
        let found = look(&medium);
        if (440..446).contains(&at) {
            prop_assert!(is_good(&found), "{found:#?}");
        } else if (512 + 92..1024).contains(&at) {
            // Behind the GPT's header, which its checksum ends: told, and read by nobody.
            prop_assert!(!is_good(&found));
        } else {
            prop_assert!(!found.damaged.is_empty(), "byte {at}, bit {bit}");
        }
    }

    /// What no boot reads may change: the disk signature, what is behind the GPT's header, CHS addresses and types in the
    /// MBR, and what is behind the image.
    #[test]
    fn damage_to_a_stick_with_another_partition_is_found_as_well(at in any::<proptest::sample::Index>(), bit in 0..8u8) {
        let mut stick = with_partition();
        let record = record(&stick);
        let at = at.index(record.range(Part::Catalog).end as usize);
        stick[at] ^= 1 << bit;
        let found = look(&stick);
        let free = (440..510).contains(&at) || (512 + 92..1024).contains(&at);
        prop_assert!(free || !found.damaged.is_empty(), "byte {at}, bit {bit}");
        prop_assert!(!is_good(&found));
    }

    #[test]
    fn a_medium_cut_off_anywhere_is_not_good(length in any::<proptest::sample::Index>()) {
        let mut medium = medium();
        let length = length.index(medium.len());
        medium.truncate(length);
        prop_assert!(!look(&medium).damaged.is_empty());
    }

    #[test]
    fn many_wrong_bytes_never_panic(changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..40)) {
        let mut medium = medium();
        let length = medium.len();
        for (at, byte) in changes {
            medium[at.index(length)] = byte;
        }
        let _ = look(&medium);
    }
}
