use super::fixture::disk;
use super::*;
use proptest::prelude::*;

#[test]
fn reads_what_is_there() {
    let found = partitions(&disk(200, &[(40, 59), (60, 99)])).unwrap().unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[1],
        Partition {
            number: 2,
            type_guid: "0fc63daf-8483-4772-8e79-3d69d8477de4".into(),
            guid: "00000002-0000-0000-0000-000000000000".into(),
            first_byte: 60 * 512,
            last_byte: 100 * 512 - 1,
            name: "conü".into(),
        }
    );
    assert!(partitions(&vec![0; 100_000]).unwrap().is_none());
    assert!(partitions(&Vec::new()).unwrap().is_none());
}

#[test]
fn takes_the_backup_when_the_first_is_damaged() {
    for at in [512 + 40, 1024 + 32, 512] {
        let mut image = disk(200, &[(40, 59)]);
        image[at] ^= 1;
        assert_eq!(partitions(&image).unwrap().unwrap().len(), 1, "byte {at}");
    }
}

#[test]
fn a_table_alone_is_read_without_the_other() {
    let image = disk(200, &[(40, 59)]);
    let first = table(&image, 512).unwrap();
    assert_eq!((first.other, first.partitions.len()), (199 * 512, 1));
    let other = table(&image, first.other).unwrap();
    assert_eq!((other.other, other.entries_sum, &other.partitions), (512, first.entries_sum, &first.partitions));
    let mut image = image;
    image[512 + 40] ^= 1;
    assert!(matches!(table(&image, 512), Err(GptError::Damaged { .. })));
    let error = table(&image, 1024).unwrap_err().to_string();
    assert!(error.contains("is 0, expected 1") && !error.contains("backup"), "{error}");
    assert!(table(&image, u64::MAX).is_err());
}

#[test]
fn both_damaged_is_an_error_with_the_sums() {
    let mut image = disk(200, &[(40, 59)]);
    image[1024 + 32] ^= 1;
    image[(200 - 33) * 512 + 32] ^= 1;
    let error = partitions(&image).unwrap_err().to_string();
    assert!(error.contains("the checksum of the entries is") && error.contains("the backup is no better"), "{error}");
}

#[test]
fn absurd_numbers_are_refused_before_they_cost_memory() {
    for (at, value) in [(80, u32::MAX), (84, 127), (84, 1 << 30), (72, u32::MAX)] {
        let mut image = disk(200, &[(40, 59)]);
        image.truncate(199 * 512);
        image[512 + at..512 + at + 4].copy_from_slice(&value.to_le_bytes());
        image[512 + 16..512 + 20].fill(0);
        let sum = CRC_32.checksum(&image[512..512 + 92]);
        image[512 + 16..512 + 20].copy_from_slice(&sum.to_le_bytes());
        assert!(matches!(partitions(&image), Err(GptError::Both(_))), "{at} {value}");
    }
}

proptest! {
    #[test]
    fn damage_never_panics(
        changes in proptest::collection::vec((512usize..2048, any::<u8>()), 1..30),
        fix in any::<bool>(),
        sectors in 0usize..200,
    ) {
        let mut image = disk(200, &[(40, 59)]);
        for (at, byte) in changes {
            image[at] = byte;
        }
        if fix {
            image[512 + 16..512 + 20].fill(0);
            let sum = CRC_32.checksum(&image[512..512 + 92]);
            image[512 + 16..512 + 20].copy_from_slice(&sum.to_le_bytes());
        }
        image.truncate(sectors * 512);
        let _ = partitions(&image);
    }
}
