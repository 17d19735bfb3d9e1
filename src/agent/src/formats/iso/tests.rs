use super::*;
use proptest::prelude::*;

/// A directory record with an optional system use field.
fn record(name: &[u8], block: u32, length: u32, flags: u8, system_use: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 33];
    bytes[2..6].copy_from_slice(&block.to_le_bytes());
    bytes[10..14].copy_from_slice(&length.to_le_bytes());
    bytes[25] = flags;
    bytes[32] = name.len() as u8;
    bytes.extend_from_slice(name);
    if name.len().is_multiple_of(2) {
        bytes.push(0);
    }
    bytes.extend_from_slice(system_use);
    bytes[0] = bytes.len() as u8;
    bytes
}

fn entry(signature: &[u8; 2], data: &[u8]) -> Vec<u8> {
    [signature.as_slice(), &[data.len() as u8 + 4, 1], data].concat()
}

fn nm(flags: u8, name: &str) -> Vec<u8> {
    entry(b"NM", &[&[flags], name.as_bytes()].concat())
}

fn both(value: u32) -> Vec<u8> {
    [value.to_le_bytes(), value.to_be_bytes()].concat()
}

fn ce(block: u32, offset: u32, length: u32) -> Vec<u8> {
    entry(b"CE", &[both(block), both(offset), both(length)].concat())
}

fn sp() -> Vec<u8> {
    entry(b"SP", &[0xbe, 0xef, 0])
}

const ROOT: u32 = 18;
const FOLDER: u32 = 19;
const CONTINUATION: u32 = 20;
const MOVED: u32 = 21;
const DATA: u32 = 22;

/// A volume with a file of two pieces, names in pieces and continuation areas, a relocated directory.
fn volume() -> Vec<u8> {
    let mut image = vec![0; 40 * 2048];
    let mut put = |block: u32, bytes: &[u8]| {
        let at = block as usize * 2048;
        image[at..at + bytes.len()].copy_from_slice(bytes);
    };
    let mut descriptor = vec![0; 2048];
    descriptor[..7].copy_from_slice(b"\x01CD001\x01");
    descriptor[40..72].copy_from_slice(format!("{:<32}", "TEST").as_bytes());
    descriptor[128..130].copy_from_slice(&2048u16.to_le_bytes());
    descriptor[156..190].copy_from_slice(&record(&[0], ROOT, 2048, 2, b""));
    descriptor[813..830].copy_from_slice(b"2026110100000000\0");
    descriptor[830..847].copy_from_slice(b"0000000000000000\0");
    put(16, &descriptor);
    put(17, b"\xffCD001\x01");
    let root = [
        record(&[0], ROOT, 2048, 2, &sp()),
        record(&[1], ROOT, 2048, 2, b""),
        record(b"APPLIANC", FOLDER, 2048, 2, &nm(0, "appliance")),
        record(b"MOVED", DATA, 0, 0, &[nm(0, "deep"), entry(b"CL", &both(MOVED))].concat()),
        record(b"PLAIN.TXT;1", DATA, 10, 0, b""),
    ];
    put(ROOT, &root.concat());
    let folder = [
        record(&[0], FOLDER, 2048, 2, b""),
        record(&[1], ROOT, 2048, 2, b""),
        record(b"ROOT.SQU;1", DATA, 2048, 0x80, &[nm(1, "root."), ce(CONTINUATION, 100, 13)].concat()),
        record(b"ROOT.SQU;1", DATA + 1, 100, 0, &[nm(1, "root."), ce(CONTINUATION, 100, 13)].concat()),
        record(b"GAP.;1", DATA, 2048, 0x80, &nm(0, "gap")),
        record(b"GAP.;1", DATA + 4, 100, 0, &nm(0, "gap")),
        record(b"LONG.;1", 39, 4096, 0, &nm(0, "long")),
        record(b"LOOP.;1", DATA, 1, 0, &ce(CONTINUATION, 200, 28)),
    ];
    put(FOLDER, &folder.concat());
    let mut continuation = vec![0; 2048];
    continuation[100..113].copy_from_slice(&nm(0, "squashfs"));
    continuation[200..228].copy_from_slice(&ce(CONTINUATION, 200, 28));
    put(CONTINUATION, &continuation);
    put(MOVED, &[record(&[0], MOVED, 2048, 2, b""), record(b"X", DATA, 5, 0, &nm(0, "file"))].concat());
    image
}

fn find(path: &str) -> Result<(u64, u64), String> {
    let image = volume();
    let volume = Volume::open(&image).unwrap();
    volume.find(path).map(|range| (range.offset / 2048, range.length)).map_err(|error| error.to_string())
}

#[test]
fn tells_uuid_and_label() {
    let image = volume();
    let volume = Volume::open(&image).unwrap();
    assert_eq!(volume.uuid.as_deref(), Some("2026-11-01-00-00-00-00"));
    assert_eq!(volume.label.as_deref(), Some("TEST"));
}

#[test]
fn finds_files_by_rock_ridge_and_by_plain_names() {
    assert_eq!(find("/plain.txt"), Ok((22, 10)));
    assert_eq!(find("deep/file"), Ok((22, 5)));
}

#[test]
fn joins_pieces_that_follow_each_other_and_names_in_continuation_areas() {
    let image = volume();
    let mut folder = image.clone();
    // The endless continuation stands behind the others, so that only a search that passes it meets it.
    assert_eq!(find("/gap").unwrap_err(), "/gap is not on the ISO 9660 volume: gap is missing");
    assert_eq!(
        Volume::open(&image).unwrap().find("/appliance/root.squashfs").unwrap(),
        FileRange { offset: 22 * 2048, length: 2148 }
    );
    folder.truncate(22 * 2048);
    let error = Volume::open(&folder).unwrap().find("/appliance/root.squashfs").unwrap_err().to_string();
    assert_eq!(error, "the ISO 9660 volume's end of a file is 47204, expected 45056, the device's size, at most");
}

#[test]
fn refuses_what_it_cannot_give() {
    for (path, said) in [
        ("/appliance", "is a directory, expected a file"),
        ("/plain.txt/x", "below a file"),
        ("/appliance/gap", "one ends at byte 47104, the next begins at 53248"),
        ("/appliance/long", "end of a file is 83968, expected 81920"),
        ("/appliance/none", "number of continuation areas is 17, expected 16 at most"),
        ("/", "a path of 1 to 32 names"),
        ("/Appliance/x", "Appliance is missing"),
    ] {
        let error = find(path).unwrap_err();
        assert!(error.contains(said), "{path}: {error}");
    }
    assert!(matches!(Volume::open(&vec![0; 100_000]), Err(IsoError::NoVolume)));
    assert!(matches!(Volume::open(&Vec::new()), Err(IsoError::NoVolume)));
}

proptest! {
    /// Whatever bytes are changed: an answer within the device or an error, and an end.
    #[test]
    fn damage_is_an_error_or_an_answer_inside(
        changes in proptest::collection::vec((16usize * 2048..23 * 2048, any::<u8>()), 0..40),
        length in 0usize..40 * 2048,
    ) {
        let mut image = volume();
        for (at, byte) in changes {
            image[at] = byte;
        }
        image.truncate(length.max(18 * 2048));
        if let Ok(volume) = Volume::open(&image) {
            for path in ["/appliance/root.squashfs", "/deep/file", "/plain.txt", "/appliance/none"] {
                if let Ok(range) = volume.find(path) {
                    prop_assert!(range.offset + range.length <= image.len() as u64);
                }
            }
        }
    }
}
