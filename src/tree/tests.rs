use super::*;
use appliance_contract::causes::WithCauses as _;
use proptest::collection::vec;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn path(text: &str) -> TreePath {
    TreePath::parse(text).expect("a path of the test")
}

fn file(text: &str) -> Node {
    Node::file(Metadata::new(0o644).with_mtime(7), text.as_bytes().to_vec().into())
}

fn tree(paths: &[&str]) -> Tree {
    let mut tree = Tree::new(Metadata::new(0o755));
    for at in paths {
        tree.insert(&path(at), file(at)).expect("inserting");
    }
    tree
}

fn names(tree: &Tree) -> Vec<String> {
    tree.walk().map(|(path, _)| path.to_string()).collect()
}

#[test]
fn paths_are_read_in_all_their_spellings() {
    for (text, expected) in [("", "/"), ("/", "/"), ("./", "/"), ("a//b/", "/a/b"), ("./a/./b", "/a/b"), ("/a", "/a")] {
        assert_eq!(path(text).to_string(), expected);
    }
    assert_eq!(path("a/b").parent(), Some(path("a")));
    assert_eq!(path("a").parent(), Some(TreePath::default()));
    assert_eq!((path("").parent(), path("").name()), (None, None));
}

#[test]
fn paths_that_lead_out_or_fit_no_entry_are_refused() {
    assert_eq!(TreePath::parse("a/../b"), Err(PathError::Parent { path: "a/../b".into() }));
    assert!(matches!(TreePath::parse("a\0"), Err(PathError::Nul { .. })));
    assert!(TreePath::parse("n".repeat(255)).is_ok());
    assert!(matches!(TreePath::parse("n".repeat(256)), Err(PathError::NameTooLong { length: 256, .. })));
    for name in ["", ".", "a/b", "/a", "a/"] {
        assert!(matches!(path("d").join(name), Err(PathError::Name { .. })), "{name:?}");
    }
    assert!(matches!(path("d").join(".."), Err(PathError::Parent { .. })));
}

#[test]
fn entries_come_parents_first_in_byte_order() {
    let tree = tree(&["b", "a/z", "a/b/c", "a-", "B", "a/b-"]);
    assert_eq!(names(&tree), ["/", "/B", "/a", "/a/b", "/a/b/c", "/a/b-", "/a/z", "/a-", "/b"]);
    let parent = &tree.get(&path("a/b")).expect("it was made").metadata;
    assert_eq!((parent.mode, parent.mtime), (0o755, 7));
}

#[test]
fn insert_takes_the_place_of_what_was_there() {
    let mut tree = tree(&["d/a", "d/b", "e"]);
    tree.insert(&path("d"), file("now a file")).expect("inserting");
    assert_eq!(names(&tree), ["/", "/d", "/e"]);
    let error = tree.insert(&path("d/a"), file("x")).expect_err("its parent is a file");
    assert_eq!(error.with_causes(), "/d/a lies below /d, which is not a directory");
    tree.insert(&path("/"), Node::directory(Metadata::new(0o700))).expect("inserting");
    assert_eq!(names(&tree), ["/"]);
    assert_eq!(tree.node(Tree::ROOT).metadata.mode, 0o700);
    assert!(matches!(tree.insert(&path("/"), file("x")), Err(TreeError::Root { found: "a file" })));
}

#[test]
fn links_share_their_node() {
    let mut tree = tree(&["a", "d/x"]);
    let id = tree.lookup(&path("a")).expect("it was put");
    tree.link(&path("l/b"), id).expect("linking");
    tree.node_mut(id).metadata.mode = 0o600;
    assert_eq!(tree.get(&path("l/b")).expect("it was linked").metadata.mode, 0o600);
    tree.remove(&path("a")).expect("removing");
    assert_eq!(tree.lookup(&path("l/b")), Some(id));
    let directory = tree.lookup(&path("d")).expect("it was made");
    assert!(matches!(tree.link(&path("d/d"), directory), Err(TreeError::DirectoryLink { .. })));
    assert!(matches!(tree.link(&path("/"), id), Err(TreeError::Root { .. })));
}

#[test]
fn remove_takes_all_below_and_nothing_else() {
    let mut tree = tree(&["d/a/b", "d/c", "e"]);
    tree.remove(&path("d/a")).expect("removing");
    assert_eq!(names(&tree), ["/", "/d", "/d/c", "/e"]);
    for missing in ["d/a", "d/a/b", "e/f", "/"] {
        assert!(tree.remove(&path(missing)).is_err(), "{missing}");
    }
}

#[test]
fn a_folder_is_read_as_it_is() {
    let folder = tempfile::tempdir().expect("making a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("d")).expect("making a folder");
    fs::write(at("d/file"), b"content").expect("writing");
    fs::set_permissions(at("d/file"), fs::Permissions::from_mode(0o4710)).expect("setting a mode");
    fs::hard_link(at("d/file"), at("again")).expect("linking");
    std::os::unix::fs::symlink("nowhere/at all", at("link")).expect("linking");
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRUSR).expect("making a fifo");
    let time = fs::File::open(at("d/file")).and_then(|file| {
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_234_567))?;
        file.metadata()
    });
    assert_eq!(time.expect("setting a time").len(), 7);

    let tree = Tree::from_folder(folder.path()).expect("reading");
    assert_eq!(names(&tree), ["/", "/again", "/d", "/d/file", "/link", "/pipe"]);
    assert_eq!(tree.lookup(&path("again")), tree.lookup(&path("d/file")));
    let node = tree.get(&path("again")).expect("it is there");
    assert_eq!((node.metadata.mode, node.metadata.mtime), (0o4710, 1_234_567));
    assert_eq!(node.metadata.uid, nix::unistd::geteuid().as_raw());
    let Kind::File(content) = &node.kind else { panic!("found {}", node.kind.name()) };
    assert_eq!(content.read().expect("reading"), b"content");
    assert!(
        matches!(&tree.get(&path("link")).expect("it is there").kind, Kind::Symlink(to) if to == b"nowhere/at all")
    );
    assert!(matches!(tree.get(&path("pipe")).expect("it is there").kind, Kind::Fifo));
    assert!(matches!(Tree::from_folder(&at("missing")), Err(TreeError::File(_))));
}

#[test]
fn content_tells_that_the_host_s_file_changed() {
    let folder = tempfile::tempdir().expect("making a folder");
    let host = folder.path().join("file");
    fs::write(&host, b"0123456789").expect("writing");
    let whole = Content::host(host.clone(), 10);
    let part = Content::Host { path: std::sync::Arc::new(host.clone()), offset: 4, length: 3, fingerprint: None };
    assert_eq!(part.read().expect("reading"), b"456");
    assert_eq!((whole.current_len().expect("asking"), part.current_len().expect("asking")), (10, 3));
    fs::write(&host, b"01234").expect("writing");
    assert_eq!((whole.current_len().expect("asking"), part.current_len().expect("asking")), (5, 1));
    let error = whole.read().expect_err("it shrank");
    assert_eq!(error.with_causes(), "found 5 bytes, expected 10");
    fs::write(&host, b"0123456789ab").expect("writing");
    assert_eq!((whole.current_len().expect("asking"), part.current_len().expect("asking")), (12, 3));
}

fn any_path() -> impl Strategy<Value = TreePath> {
    vec("[a-c]{1,2}", 1..4).prop_map(|names| path(&names.join("/")))
}

proptest! {
    #[test]
    fn what_is_read_reads_the_same_again(bytes in vec(any::<u8>(), 0..60)) {
        if let Ok(path) = TreePath::parse(&bytes) {
            let joined = path.names().try_fold(TreePath::default(), |path, name| path.join(name));
            prop_assert_eq!(joined.as_ref(), Ok(&path));
            prop_assert_eq!(TreePath::parse(path.to_bytes()), Ok(path));
        }
    }

    /// Against a plain map from path to text.
    #[test]
    fn a_tree_is_a_map(steps in vec((any_path(), any::<bool>()), 0..60)) {
        let mut tree = Tree::new(Metadata::new(0o755));
        let mut map: BTreeMap<TreePath, bool> = BTreeMap::from([(TreePath::default(), true)]);
        let is_below = |path: &TreePath, top: &TreePath| {
            path.names().count() >= top.names().count() && path.names().zip(top.names()).all(|(a, b)| a == b)
        };
        for (at, put) in steps {
            if put {
                let parents: Vec<TreePath> = std::iter::successors(at.parent(), TreePath::parent).collect();
                let blocked = parents.iter().any(|parent| map.get(parent) == Some(&false));
                prop_assert_eq!(tree.insert(&at, file("x")).is_err(), blocked);
                if !blocked {
                    map.retain(|path, _| !is_below(path, &at));
                    map.extend(parents.into_iter().map(|parent| (parent, true)));
                    map.insert(at, false);
                }
            } else {
                prop_assert_eq!(tree.remove(&at).is_ok(), map.contains_key(&at));
                map.retain(|path, _| !is_below(path, &at));
            }
            let found: BTreeMap<TreePath, bool> =
                tree.walk().map(|(path, id)| (path, matches!(tree.node(id).kind, Kind::Directory(_)))).collect();
            prop_assert_eq!(&found, &map);
            prop_assert_eq!(tree.walk().count(), map.len());
            prop_assert!(tree.walk().all(|(path, id)| tree.lookup(&path) == Some(id)));
        }
    }
}
