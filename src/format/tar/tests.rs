use super::*;
use crate::tree::{Kind, Tree};
use ::tar::{Builder, EntryType, Header};
use appliance_contract::causes::WithCauses as _;
use proptest::prelude::*;

/// A header with the path written as it is: the crate's own setter refuses what attackers write.
fn header(path: &str, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(1);
    header.set_gid(2);
    header.set_mtime(3);
    header.set_cksum();
    header
}

/// An entry in short: a path ending in `/` is a directory, `a -> b` a symlink,
/// `a => b` a hard link, `a = text` a file.
fn append(builder: &mut Builder<Vec<u8>>, text: &str) {
    let (path, kind, rest) = [(" -> ", EntryType::Symlink), (" => ", EntryType::Link), (" = ", EntryType::Regular)]
        .into_iter()
        .find_map(|(sign, kind)| text.split_once(sign).map(|(path, rest)| (path, kind, rest)))
        .unwrap_or((text, EntryType::Directory, ""));
    let content = if kind == EntryType::Regular { rest } else { "" };
    let mut header = header(path, kind, content.len() as u64);
    if kind != EntryType::Regular {
        header.as_mut_bytes()[157..157 + rest.len()].copy_from_slice(rest.as_bytes());
        header.set_cksum();
    }
    builder.append(&header, content.as_bytes()).expect("into memory");
}

fn archive(entries: &[&str]) -> Vec<u8> {
    let mut builder = Builder::new(vec![]);
    entries.iter().for_each(|entry| append(&mut builder, entry));
    builder.into_inner().expect("into memory")
}

/// The entries as text, or the error's.
fn list(bytes: &[u8]) -> Result<Vec<String>, String> {
    let mut out = vec![];
    entries::<_, TarError>(bytes, Limits::default(), |entry| {
        let what = match entry.kind {
            EntryKind::File { length, content } => {
                let mut text = vec![];
                let at = Some(entry.path.clone());
                content.read_to_end(&mut text).map_err(|source| TarError::Read { at, source })?;
                assert_eq!(text.len() as u64, length);
                format!(" = {}", String::from_utf8_lossy(&text))
            }
            EntryKind::HardLink(target) => format!(" => {target}"),
            EntryKind::Symlink(target) => format!(" -> {}", String::from_utf8_lossy(&target)),
            other => format!(" {other:?}"),
        };
        out.push(format!("{}{what}", entry.path));
        Ok(())
    })
    .map_err(|error| error.with_causes())?;
    Ok(out)
}

#[test]
fn gives_entries_in_order() {
    let long = "n".repeat(200);
    let mut builder = Builder::new(vec![]);
    for entry in ["./", "./a/", "./a/f = text", "./a/l -> ../f", "./a/h => ./a/f", "b => a/l"] {
        append(&mut builder, entry);
    }
    let mut device = header("c", EntryType::Char, 0);
    device.set_device_major(5).expect("gnu has it");
    device.set_device_minor(1).expect("gnu has it");
    device.set_cksum();
    builder.append(&device, &b""[..]).expect("into memory");
    builder.append_data(&mut header("", EntryType::Regular, 1), format!("d/{long}"), &b"x"[..]).expect("into memory");
    builder.append_link(&mut header("", EntryType::Symlink, 0), "s", &long).expect("into memory");
    let bytes = builder.into_inner().expect("into memory");
    assert_eq!(
        list(&bytes).expect("readable"),
        [
            "/ Directory",
            "/a Directory",
            "/a/f = text",
            "/a/l -> ../f",
            "/a/h => /a/f",
            "/b => /a/l",
            "/c CharacterDevice(5, 1)",
            &format!("/d/{long} = x"),
            &format!("/s -> {long}"),
        ]
    );
}

#[test]
fn pax_records_apply() {
    let mut builder = Builder::new(vec![]);
    let capability = b"\x01\n=\x00\x02";
    let long = format!("p/{}", "q".repeat(150));
    builder
        .append_pax_extensions([
            ("path", long.as_bytes()),
            ("SCHILY.xattr.security.capability", &capability[..]),
            ("mtime", b"-1.5"),
            ("uid", b"70000"),
        ])
        .expect("into memory");
    append(&mut builder, "short = text");
    append(&mut builder, "next = ");
    let bytes = builder.into_inner().expect("into memory");
    let mut found = vec![];
    entries::<_, TarError>(&bytes[..], Limits::default(), |entry| {
        found.push((entry.path.to_string(), entry.metadata));
        Ok(())
    })
    .expect("readable");
    assert_eq!(found[0].0, format!("/{long}"));
    assert_eq!((found[0].1.uid, found[0].1.gid, found[0].1.mtime, found[0].1.mode), (70_000, 2, -2, 0o644));
    assert_eq!(found[0].1.xattrs.get(&b"security.capability"[..]).map(Vec::as_slice), Some(&capability[..]));
    assert_eq!((found[1].1.uid, found[1].1.mtime, found[1].1.xattrs.len()), (1, 3, 0));
}

#[test]
fn refuses_ways_out() {
    for (names, message) in [
        (&["/etc/passwd = x"][..], "\"/etc/passwd\" is absolute"),
        (&["../x = x"], "leads out of the tree by .."),
        (&["a/../../x = x"], "leads out of the tree by .."),
        (&["a -> /etc", "a/x = x"], "\"/a/x\" would be written through a symlink: /a leads to \"/etc\""),
        (&["a -> ..", "b => a", "b/x = x"], "through a symlink: /b leads to \"..\""),
        (&["a -> b", "a/c/d/"], "through a symlink"),
        (&["a => /etc/passwd"], "is a hard link to \"/etc/passwd\""),
        (&["a => ../x"], "is a hard link to \"../x\""),
        (&["a => b", "b = x"], "is a hard link to \"b\", which is no file that came before it"),
        (&["d/", "a => d"], "is a hard link to \"d\""),
        (&["a -> "], "is a symlink without a target"),
        (&["./ -> x"], "is the root"),
        (&[" = x"], "has no name"),
    ] {
        let error = list(&archive(names)).expect_err(message);
        assert!(error.contains(message), "{error}: expected {message}");
    }
    // A link that gave way to a directory leads nowhere.
    assert!(list(&archive(&["a -> /etc", "a/", "a/x = x"])).is_ok());
}

#[test]
fn refuses_what_is_damaged_or_not_understood() {
    let of = |header: Header, content: &[u8]| {
        let mut builder = Builder::new(vec![]);
        builder.append(&header, content).expect("into memory");
        builder.into_inner().expect("into memory")
    };
    let sum = {
        let mut bytes = archive(&["a = x"]);
        bytes[0] = b'b';
        bytes
    };
    let garbage = [archive(&["a = x"]), vec![7; 512]].concat();
    let unfinished = {
        let mut builder = Builder::new(vec![]);
        builder.append_pax_extensions([("path", &b"x"[..])]).expect("into memory");
        builder.into_inner().expect("into memory")
    };
    let sparse = {
        let mut builder = Builder::new(vec![]);
        builder.append_pax_extensions([("GNU.sparse.major", &b"1"[..])]).expect("into memory");
        append(&mut builder, "a = x");
        builder.into_inner().expect("into memory")
    };
    let huge = header("a", EntryType::GNULongName, 2 << 20);
    for (bytes, message) in [
        (of(header("a", EntryType::new(b'V'), 0), b""), "is of type 'V'"),
        (of(header("a", EntryType::Directory, 1), b"x"), "has 1 bytes of content"),
        (of(header("a", EntryType::Regular, 1 << 40), b""), "at most"),
        (of(huge, b""), "an extended header of 2097152 bytes"),
        (sum, "has the check sum"),
        (garbage, "nothing but zeros"),
        (unfinished, "an entry after its extension"),
        (sparse, "GNU.sparse.major"),
        (vec![], "the archive ends at byte 0"),
    ] {
        let error = list(&bytes).expect_err(message);
        assert!(error.contains(message), "{error}: expected {message}");
    }
}

#[test]
fn bounds_hold() {
    let bytes = archive(&["a = xxxx", "b = xxxx", "c = "]);
    let with = |limits| entries::<_, TarError>(&bytes[..], limits, |_| Ok(())).map_err(|error| error.with_causes());
    assert_eq!(with(Limits { file: 4, total: 8, entries: 3, extension: 0 }), Ok(()));
    for limits in [
        Limits { file: 3, ..Limits::default() },
        Limits { total: 7, ..Limits::default() },
        Limits { entries: 2, ..Limits::default() },
    ] {
        assert!(with(limits).is_err(), "{limits:?}");
    }
}

#[test]
fn sparse_files_of_gnu_tar_get_their_holes() {
    let mut head = header("hole", EntryType::GNUSparse, 516);
    let gnu = head.as_gnu_mut().expect("made so");
    gnu.set_real_size(4096);
    for (piece, (offset, length)) in gnu.sparse.iter_mut().zip([(1024u64, 512u64), (2048, 4)]) {
        piece.offset[..11].copy_from_slice(format!("{offset:011o}").as_bytes());
        piece.numbytes[..11].copy_from_slice(format!("{length:011o}").as_bytes());
    }
    head.set_cksum();
    let mut builder = Builder::new(vec![]);
    builder.append(&head, &[&[b'x'; 512][..], b"yyyy"].concat()[..]).expect("into memory");
    append(&mut builder, "after = z");
    let listed = list(&builder.into_inner().expect("into memory")).expect("readable");
    let zeros = |count| "\0".repeat(count);
    let content = [zeros(1024), "x".repeat(512), zeros(512), "yyyy".to_owned(), zeros(2044)].concat();
    assert_eq!(listed, [format!("/hole = {content}"), "/after = z".to_owned()]);
}

#[test]
fn a_truncation_anywhere_is_an_error() {
    let bytes = archive(&["a/", "a/b = some text", "a/c -> b", "d => a/b"]);
    // All but the second of the two blocks at the end is needed.
    for length in 0..bytes.len() - 1024 + 512 {
        assert!(list(&bytes[..length]).is_err(), "cut to {length} of {}", bytes.len());
    }
    assert!(list(&bytes[..bytes.len() - 512]).is_ok());
}

fn loaded(sets: &[&[&str]]) -> Result<Tree, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut tree = Tree::new(Metadata::new(0o755));
    for (number, set) in sets.iter().enumerate() {
        let spill = folder.path().join(number.to_string());
        load_into(&mut tree, &archive(set)[..], &spill, Limits::default()).map_err(|error| error.with_causes())?;
    }
    for (_, id) in tree.walk().collect::<Vec<_>>() {
        // Before the folder goes.
        if let Kind::File(content) = &mut tree.node_mut(id).kind {
            *content = content.read().expect("spilled above").into();
        }
    }
    Ok(tree)
}

fn text(tree: &Tree, path: &str) -> Option<String> {
    match &tree.get(&TreePath::parse(path).expect("a path"))?.kind {
        Kind::File(content) => Some(String::from_utf8_lossy(&content.read().expect("in memory")).into_owned()),
        other => Some(format!("{other:?}").split('(').next().unwrap_or_default().to_owned()),
    }
}

#[test]
fn sets_are_laid_over_each_other() {
    let large = format!("large = {}", "x".repeat(10_000));
    let tree = loaded(&[
        &["usr/", "usr/lib/", "lib -> usr/lib", "etc/", "etc/a = old", "etc/b => etc/a", &large],
        &["lib/", "lib/new = behind the link", "etc/a = new", "lib/again => lib/new"],
    ])
    .expect("both");
    assert_eq!(text(&tree, "lib").as_deref(), Some("Symlink"));
    assert_eq!(text(&tree, "usr/lib/new").as_deref(), Some("behind the link"));
    assert_eq!(
        tree.lookup(&TreePath::parse("usr/lib/again").unwrap()),
        tree.lookup(&TreePath::parse("usr/lib/new").unwrap())
    );
    assert_eq!(text(&tree, "etc/a").as_deref(), Some("new"));
    assert_eq!(text(&tree, "etc/b").as_deref(), Some("old"));
    assert_eq!(text(&tree, "large").map(|text| text.len()), Some(10_000));
    let error = loaded(&[&["d/", "d/f = x"], &["d = file"]]).expect_err("a directory is in the way");
    assert!(error.contains("/d: a directory that is not empty"), "{error}");
}

proptest! {
    #[test]
    fn never_panics_and_never_leads_out(flips in prop::collection::vec((0..4096usize, any::<u8>()), 0..6), fix in any::<bool>()) {
        let mut bytes = archive(&["a/", "a/b = some text", "a/c -> ../b", "d => a/b", "e = x"]);
        for (at, value) in flips {
            bytes[at] = value;
        }
        if fix {
            // With right sums, damage gets past the first check.
            for block in bytes.chunks_mut(512).filter(|block| block[257..262] == *b"ustar") {
                let mut header = Header::new_gnu();
                header.as_mut_bytes().copy_from_slice(block);
                header.set_cksum();
                block.copy_from_slice(header.as_bytes());
            }
        }
        if let Ok(listed) = list(&bytes) {
            prop_assert!(listed.iter().all(|entry| entry.starts_with('/')));
        }
    }
}
