use super::*;
use crate::formats::iso::Volume;
use appliance_shared::probe::{Contents, FileSystemKind, probe};
use proptest::prelude::*;

fn file(text: &str) -> Node {
    Node::File { mode: 0o640, bytes: text.as_bytes().to_vec() }
}

fn folder(entries: impl IntoIterator<Item = (String, Node)>) -> Folder {
    Folder { mode: 0o755, entries: entries.into_iter().map(|(name, node)| (name.into_bytes(), node)).collect() }
}

fn read(image: &[u8], path: &str) -> Vec<u8> {
    let range = Volume::open(&image.to_vec()).unwrap().find(path).unwrap();
    image[range.offset as usize..(range.offset + range.length) as usize].to_vec()
}

#[test]
fn the_agents_own_reader_finds_everything() {
    let long = "n".repeat(255);
    let mut deep = folder([("file".to_owned(), file("deep"))]);
    for level in 0..14 {
        deep = folder([(format!("level{level}"), Node::Folder(deep))]);
    }
    let many = folder((0..300).map(|index| (format!("entry-{index:03}"), file(&index.to_string()))));
    let root = folder([
        ("appliance.toml".to_owned(), file("schema = 1\n")),
        ("empty".to_owned(), file("")),
        (long.clone(), file("long")),
        ("deep".to_owned(), Node::Folder(deep)),
        ("many".to_owned(), Node::Folder(many)),
        ("big".to_owned(), file(&"x".repeat(5000))),
        ("link".to_owned(), Node::Link(b"../a/./b".to_vec())),
    ]);
    let image = write(&root, "APPLIANCE").unwrap();
    assert_eq!(read(&image, "/appliance.toml"), b"schema = 1\n");
    assert_eq!(read(&image, "/empty"), b"");
    assert_eq!(read(&image, &format!("/{long}")), b"long");
    assert_eq!(read(&image, "/big"), "x".repeat(5000).as_bytes());
    let path: String = (0..14).rev().map(|level| format!("/level{level}")).collect();
    assert_eq!(read(&image, &format!("/deep{path}/file")), b"deep");
    for index in [0, 1, 57, 299] {
        assert_eq!(read(&image, &format!("/many/entry-{index:03}")), index.to_string().as_bytes());
    }
    match probe(&image).unwrap() {
        Contents::FileSystem(found) => {
            assert_eq!((found.kind, found.label.as_deref()), (FileSystemKind::Iso9660, Some("APPLIANCE")));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let root = || folder([("b".to_owned(), file("2")), ("a".to_owned(), file("1"))]);
    assert_eq!(write(&root(), "A").unwrap(), write(&root(), "A").unwrap());
}

#[test]
fn a_name_that_is_too_long_is_refused() {
    let root = folder([("n".repeat(256), file(""))]);
    let error = write(&root, "A").unwrap_err();
    assert!(error.to_string().ends_with("has 256 bytes, expected 1 to 255"), "{error}");
}

fn tree() -> impl Strategy<Value = Folder> {
    let leaf = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..5000).prop_map(|bytes| Node::File { mode: 0o644, bytes }),
        "(/|\\.\\./)?[a-z]{1,200}(/[a-z.]{1,300}){0,20}".prop_map(|target| Node::Link(target.into_bytes())),
    ];
    let node = leaf.prop_recursive(4, 40, 8, |inner| {
        proptest::collection::btree_map("[a-zA-Z0-9 .]{0,80}x{1,170}".prop_map(String::into_bytes), inner, 0..8)
            .prop_map(|entries| Node::Folder(Folder { mode: 0o755, entries }))
    });
    proptest::collection::btree_map("[a-z]{1,9}".prop_map(String::into_bytes), node, 0..6)
        .prop_map(|entries| Folder { mode: 0o755, entries })
}

fn check(image: &[u8], volume: &Volume<'_>, folder: &Folder, path: &str) {
    for (name, node) in &folder.entries {
        let path = format!("{path}/{}", String::from_utf8_lossy(name));
        match node {
            Node::Folder(inner) => check(image, volume, inner, &path),
            Node::File { bytes, .. } => {
                let range = volume.find(&path).unwrap();
                assert_eq!(&image[range.offset as usize..][..range.length as usize], bytes.as_slice(), "{path}");
            }
            Node::Link(_) => assert_eq!(volume.find(&path).unwrap().length, 0),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_file_of_any_tree_is_found_with_its_bytes(root in tree()) {
        let image = write(&root, "TEST").unwrap();
        check(&image, &Volume::open(&image).unwrap(), &root, "");
    }
}
