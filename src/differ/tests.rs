use super::*;
use crate::format::squashfs as writer;
use crate::progress::Silent;
use crate::tree::{Metadata, Node, Tree, TreePath};
use std::fs;
use std::num::NonZero;

fn tree(files: &[(&str, &[u8])], mode: u16) -> Tree {
    let mut tree = Tree::new(Metadata::new(0o755));
    for (path, content) in files {
        let mut metadata = Metadata::new(mode).with_mtime(7);
        metadata.xattrs.insert(b"user.a".to_vec(), b"b".to_vec());
        tree.insert(&TreePath::parse(path).unwrap(), Node::file(metadata, content.to_vec().into())).unwrap();
    }
    tree.insert(&TreePath::parse("/link").unwrap(), Node::symlink("etc/passwd", 7)).unwrap();
    tree
}

fn squashfs(tree: &Tree) -> Vec<u8> {
    let mut out = io::Cursor::new(Vec::new());
    let options = writer::Options {
        compression: writer::Compression::Zstd { level: 3 },
        block_size: 131_072,
        threads: NonZero::<usize>::MIN,
        time: 7,
    };
    writer::write(tree, &options, &writer::NoCache, &mut out, &Silent).unwrap();
    out.into_inner()
}

fn cpio(tree: &Tree) -> Vec<u8> {
    crate::format::cpio::write(tree, Vec::new()).unwrap()
}

fn found(left: &[u8], right: &[u8]) -> Option<Difference> {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    fs::write(&one, left).unwrap();
    fs::write(&other, right).unwrap();
    compare(&one, &other).unwrap()
}

fn place(difference: &Difference) -> Vec<&str> {
    difference.place.iter().map(String::as_str).collect()
}

#[test]
fn equal_files_have_no_difference() {
    let image = squashfs(&tree(&[("/etc/passwd", b"root\n")], 0o644));
    assert_eq!(found(&image, &image), None);
    assert_eq!(found(b"", b""), None);
}

#[test]
fn a_file_in_a_cpio_archive_in_a_squashfs_image_is_named_with_both_contents() {
    let large = vec![7; 300_000];
    let inner = |text: &[u8]| {
        let microcode = cpio(&tree(&[("/kernel/x86/a.bin", b"code")], 0o644));
        let archive = cpio(&tree(&[("/init", b"\x7fELF"), ("/conf", text), ("/large", &large)], 0o755));
        [microcode, zstd::encode_all(archive.as_slice(), 3).unwrap()].concat()
    };
    let image = |text: &[u8]| {
        squashfs(&tree(&[("/boot/initramfs", &inner(text)), ("/a", &large), ("/etc/passwd", b"root\n")], 0o644))
    };
    let difference = found(&image(b"first\nsame\n"), &image(b"second\nsame\n")).unwrap();
    assert_eq!(place(&difference), ["/boot/initramfs", "(1) conf"]);
    assert_eq!((difference.left.as_str(), difference.right.as_str()), ("first\nsame", "second\nsame"));
    assert_eq!(difference.what, "content, from byte 0 on");
}

#[test]
fn names_modes_and_bytes_are_told() {
    let image = |files: &[(&str, &[u8])], mode| squashfs(&tree(files, mode));
    let base = image(&[("/b", b"x")], 0o644);
    let mode = found(&base, &image(&[("/b", b"x")], 0o600)).unwrap();
    assert_eq!(place(&mode), ["/b"]);
    assert!(mode.left.starts_with("mode 644") && mode.right.starts_with("mode 600"), "{mode}");
    let more = found(&base, &image(&[("/a", b""), ("/b", b"x")], 0o644)).unwrap();
    assert_eq!((place(&more), more.left.as_str()), (vec!["/a"], "(is not there)"));
    let binary = found(&image(&[("/b", &[0, 1, 2])], 0o644), &image(&[("/b", &[0, 1, 3])], 0o644)).unwrap();
    assert!(binary.left.contains("00 01 02") && binary.right.contains("00 01 03"), "{binary}");
    // The second text is a prefix of the first.
    let shorter = found(b"one\ntwo\n", b"one\n").unwrap();
    assert_eq!((shorter.left.as_str(), shorter.right.as_str()), ("two", "(ends here)"));
}

#[test]
fn where_all_files_are_the_same_the_layout_differs() {
    let base = squashfs(&tree(&[("/b", b"x")], 0o644));
    let mut other = base.clone();
    other.extend([0; 4096]);
    let difference = found(&base, &other).unwrap();
    assert!(difference.place.is_empty() && difference.what.starts_with("content, from byte"), "{difference}");
}

#[test]
fn all_compressions_are_read() {
    for compression in [writer::Compression::Gzip { level: 6 }, writer::Compression::Xz { level: 1 }] {
        let image = |content: &[u8]| {
            let options = writer::Options { compression, block_size: 131_072, threads: NonZero::<usize>::MIN, time: 7 };
            let mut out = io::Cursor::new(Vec::new());
            writer::write(&tree(&[("/a", content)], 0o644), &options, &writer::NoCache, &mut out, &Silent).unwrap();
            out.into_inner()
        };
        let difference = found(&image(&[b'a'; 200_000]), &image(&[[b'a'; 199_999].as_slice(), b"b"].concat())).unwrap();
        assert_eq!((place(&difference), difference.what.as_str()), (vec!["/a"], "content, from byte 199999 on"));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn damage_is_an_error_or_a_difference_and_never_a_panic(
        at in 0usize..1 << 16,
        flip in 1u8..,
        which in 0usize..2,
    ) {
        let files = tree(&[("/b", b"some text"), ("/c/d", &[1; 5000])], 0o644);
        let image = if which == 0 { squashfs(&files) } else { cpio(&files) };
        let mut other = image.clone();
        let at = at % other.len();
        other[at] ^= flip;
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        fs::write(&one, &image).unwrap();
        fs::write(&two, &other).unwrap();
        if let Ok(found) = compare(&one, &two) {
            proptest::prop_assert!(found.is_some());
        }
    }
}
