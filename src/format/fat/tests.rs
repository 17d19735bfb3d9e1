use super::*;
use crate::tree::{Metadata, Node};
use appliance_contract::causes::WithCauses as _;
use fatfs::{FileSystem, FsOptions};
use std::io::{Cursor, Read};

fn options(size: u32) -> FatOptions {
    FatOptions { size, label: "boot".into(), volume_id: 0x1234_abcd }
}

fn sample() -> Tree {
    let mut tree = Tree::new(Metadata::new(0o755));
    put(&mut tree, "/EFI/BOOT/BOOTX64.EFI", b"loader");
    tree
}

fn put(tree: &mut Tree, path: &str, bytes: &[u8]) {
    tree.insert(&TreePath::parse(path).unwrap(), Node::file(Metadata::new(0o644), bytes.to_vec().into())).unwrap();
}

fn build(tree: &Tree, options: &FatOptions) -> Result<Vec<u8>, FatError> {
    Fat::plan(tree)?.write(options)
}

#[test]
fn holds_the_files_and_is_the_same_each_time() {
    for size in [8 << 20, 34 << 20, 261 << 20] {
        let image = build(&sample(), &options(size)).unwrap();
        assert!(image == build(&sample(), &options(size)).unwrap());
        let fs = FileSystem::new(Cursor::new(image), FsOptions::new()).unwrap();
        assert_eq!((fs.volume_id(), fs.volume_label().as_str()), (0x1234_abcd, "BOOT"));
        assert_eq!(fs.read_volume_label_from_root_dir().unwrap().as_deref(), Some("BOOT"));
        let mut text = String::new();
        fs.root_dir().open_file("efi/boot/bootx64.efi").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "loader");
    }
}

#[test]
fn refuses_what_fat_has_no_place_for() {
    let mut tree = sample();
    tree.insert(&TreePath::parse("/link").unwrap(), Node::symlink("x", 0)).unwrap();
    let error = build(&tree, &options(8 << 20)).unwrap_err();
    assert_eq!(error.with_causes(), "FAT cannot hold /link, which is a symbolic link; expected a file or a directory");
    let mut twice = sample();
    put(&mut twice, "/EFI/boot", b"");
    assert!(build(&twice, &options(8 << 20)).unwrap_err().with_causes().contains("but for the case"));
    for name in ["a:b", "a.", "a ", "a\tb", "😀"] {
        let mut tree = sample();
        put(&mut tree, &format!("/{name}"), b"");
        assert!(
            build(&tree, &options(8 << 20))
                .unwrap_err()
                .with_causes()
                .contains("of a name that the FAT writer cannot hold"),
            "{name}"
        );
    }
    let mut huge = sample();
    let content = crate::tree::Content::host("/nowhere".into(), 1 << 32);
    huge.insert(&TreePath::parse("/huge").unwrap(), Node::file(Metadata::new(0o644), content)).unwrap();
    assert!(matches!(build(&huge, &options(8 << 20)), Err(FatError::TooLong { found: 0x1_0000_0000, .. })));
    let long = FatOptions { label: "more than eleven".into(), ..options(8 << 20) };
    assert!(matches!(build(&sample(), &long), Err(FatError::Label { .. })));
}

#[test]
fn what_does_not_fit_is_told_with_the_least_size_that_does() {
    let mut full = sample();
    put(&mut full, "/big", &vec![1; 9 << 20]);
    let Err(FatError::TooSmall { size: 0x80_0000, least }) = build(&full, &options(8 << 20)) else { panic!("it fits") };
    assert!((9 << 20..12 << 20).contains(&least), "{least}");
    let least = u32::try_from(least).unwrap();
    assert!(build(&full, &options(least)).is_ok());
    assert!(matches!(build(&full, &options(least - (1 << 20))), Err(FatError::TooSmall { .. })));
    assert!(matches!(build(&sample(), &options(0)), Err(FatError::TooSmall { .. })));
}

#[test]
fn a_directory_has_a_bounded_number_of_entries() {
    // Three entries each: two for the name's 17 letters.
    let tree = |count: usize| {
        let mut tree = sample();
        (0..count).for_each(|number| put(&mut tree, &format!("/etc/{number:012}.conf"), b""));
        tree
    };
    let most = (65_536 - 4) / 3;
    assert!(Fat::plan(&tree(most)).is_ok());
    let error = Fat::plan(&tree(most + 1)).unwrap_err().with_causes();
    assert!(error.contains("/etc: its names take 65539 directory entries, expected 65536 at most"), "{error}");
}

#[test]
fn the_root_of_fat16_has_as_many_entries_as_it_needs() {
    let mut tree = sample();
    (0..300).for_each(|number| put(&mut tree, &format!("/{number:03}"), b""));
    let size = Fat::plan(&tree).unwrap().size(16 << 20, 1);
    let image = build(&tree, &options(u32::try_from(size).unwrap())).unwrap();
    let fs = FileSystem::new(Cursor::new(image), FsOptions::new()).unwrap();
    assert_eq!((fs.fat_type(), fs.root_dir().iter().count()), (fatfs::FatType::Fat16, 301));
}
