use super::{BLOCK, Options, Patch, Present, Volume, VolumeUuid};
use crate::tree::{self, Metadata, Tree, TreePath};
use appliance_contract::causes::WithCauses as _;
use std::io::Read;
use std::os::unix::fs::FileExt as _;

fn options() -> Options {
    Options {
        label: "TEST".into(),
        created: 1_700_000_000,
        uuid: VolumeUuid::from_hash([7; 32].into()),
        joliet: true,
        boot: None,
        present: None,
    }
}

fn sample() -> Tree {
    let mut sample = Tree::new(Metadata::new(0o755).with_mtime(5));
    let file = tree::Node::file(Metadata::new(0o640).with_mtime(6).with_owner(3, 4), b"first".to_vec().into());
    sample.insert(&TreePath::parse("/a").unwrap(), file).unwrap();
    let file = tree::Node::file(Metadata::new(0o644).with_mtime(6), vec![1; 5000].into());
    sample.insert(&TreePath::parse("/data/root.squashfs").unwrap(), file).unwrap();
    sample.insert(&TreePath::parse("/link").unwrap(), tree::Node::symlink("a", 6)).unwrap();
    sample
}

fn written(volume: &Volume) -> Vec<u8> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    volume.write(file.as_file()).unwrap();
    let mut bytes = Vec::new();
    file.reopen().unwrap().read_to_end(&mut bytes).unwrap();
    file.as_file_mut().sync_all().unwrap();
    bytes
}

#[test]
fn the_volume_holds_the_files_at_the_places_it_tells() {
    let volume = Volume::new(&sample(), &options()).unwrap();
    let path = TreePath::parse("/data/root.squashfs").unwrap();
    let (offset, length) = volume.plan().unwrap().place(&path).unwrap();
    assert_eq!(length, 5000);
    let bytes = written(&volume);
    assert_eq!(bytes.len() as u64, volume.plan().unwrap().size());
    assert!(bytes[offset as usize..][..5000].iter().all(|&byte| byte == 1));
    assert_eq!(bytes, written(&volume));
}

#[test]
fn what_is_present_stays_where_it_is() {
    let path = TreePath::parse("/data/root.squashfs").unwrap();
    let natural = Volume::new(&sample(), &options()).unwrap().plan().unwrap().place(&path).unwrap().0;
    for offset in [natural, natural + BLOCK, 1 << 20] {
        let present = Some(Present { path: path.clone(), offset });
        let volume = Volume::new(&sample(), &Options { present, ..options() }).unwrap();
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[2; 5000], offset).unwrap();
        let mut told = 0;
        let layout = volume.write_patched(&file, &[], &mut |end| {
            assert!(end <= file.metadata().unwrap().len(), "told of {end}, which is not written");
            told = end;
        });
        let layout = layout.unwrap();
        assert_eq!(told, layout.size());
        assert_eq!(layout.place(&path), Some((offset, 5000)));
        let mut bytes = vec![0; layout.size() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(file.metadata().unwrap().len(), layout.size());
        assert!(bytes[offset as usize..][..5000].iter().all(|&byte| byte == 2));
        // The rest is as if it were written whole.
        bytes[offset as usize..][..5000].fill(1);
        let mut whole = Volume::new(&sample(), &options()).unwrap();
        whole.move_to(&path, offset).unwrap();
        assert!(bytes == written(&whole), "{offset}");
    }
}

#[test]
fn patches_what_it_writes_and_tells_how_far_that_is() {
    let volume = Volume::new(&sample(), &options()).unwrap();
    let plain = written(&volume);
    for offset in [0, 432, BLOCK - 4, 16 * BLOCK + 100] {
        let file = tempfile::tempfile().unwrap();
        let patches = [Patch { offset: 8, bytes: vec![0; 3] }, Patch { offset, bytes: vec![7; 8] }];
        let mut ends = Vec::new();
        let layout = volume.write_patched(&file, &patches, &mut |end| ends.push(end)).unwrap();
        let mut bytes = vec![0; layout.size() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert!(ends.is_sorted() && ends.last() == Some(&layout.size()), "{ends:?}");
        let mut expected = plain.clone();
        expected[offset as usize..][..8].fill(7);
        assert!(bytes == expected, "{offset}");
    }
}

#[test]
fn an_outline_is_the_volume_without_what_is_in_files() {
    let volume = Volume::new(&sample(), &options()).unwrap();
    let patches = [Patch { offset: 100, bytes: vec![7; 8] }];
    let mut expected = written(&volume);
    expected[100..108].fill(7);
    let contents = volume.plan().unwrap().contents();
    assert_eq!(contents.iter().map(|content| content.end - content.start).sum::<u64>(), 5005);
    for content in contents {
        expected[content.start as usize..content.end as usize].fill(0);
    }
    let mut outline = vec![1; expected.len()];
    volume.outline(&patches).unwrap().read_exact_at(&mut outline, 0).unwrap();
    assert!(outline == expected);
}

#[test]
fn refuses_a_place_that_is_taken_or_no_blocks_start() {
    let path = TreePath::parse("/data/root.squashfs").unwrap();
    let volume = |path: &TreePath, offset| {
        let present = Some(Present { path: path.clone(), offset });
        Volume::new(&sample(), &Options { present, ..options() }).map(drop)
    };
    let natural = Volume::new(&sample(), &options()).unwrap().plan().unwrap().place(&path).unwrap().0;
    for offset in [0, natural - BLOCK, natural + 1] {
        let error = volume(&path, offset).unwrap_err().with_causes();
        let expected = format!("{path} lies at byte {offset}, but what comes before it ends at byte {natural};");
        assert!(error.contains(&expected), "{error}");
    }
    let error = volume(&TreePath::parse("/data").unwrap(), 1 << 20).unwrap_err();
    assert_eq!(error.with_causes(), "ISO 9660 cannot hold /data: it is no file of the tree");
}

#[test]
fn the_modification_date_is_the_uuid() {
    let bytes = written(&Volume::new(&sample(), &options()).unwrap());
    let digits: String = options().uuid.to_string().chars().filter(|digit| *digit != '-').collect();
    // ECMA-119, 8.4.27: bytes 831 to 847 of the primary descriptor, in block 16.
    assert_eq!(&bytes[16 * 2048 + 830..][..16], digits.as_bytes());
    // 8.4.26: the creation date stays true; 1700000000 is 2023-11-14 22:13:20.
    assert_eq!(&bytes[16 * 2048 + 813..][..16], b"2023111422132000");
}

#[test]
fn refuses_extended_attributes_by_name() {
    let mut sample = sample();
    let id = sample.lookup(&TreePath::parse("/a").unwrap()).unwrap();
    sample.node_mut(id).metadata.xattrs.insert(b"security.capability".to_vec(), vec![1]);
    let error = Volume::new(&sample, &options()).unwrap_err();
    assert_eq!(error.with_causes(), "ISO 9660 cannot hold /a: it has the extended attribute security.capability");
}
