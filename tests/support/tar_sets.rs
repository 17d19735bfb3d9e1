//! Malicious and damaged tar sets; the crate tar would refuse to write most of them.

use tar::{Builder, EntryType, Header};

/// Appends an entry in a short notation: a path that ends in `/` is a directory, `a -> b` a symlink, `a => b` a hard
/// link, `a = text` a file, `a c` a character device.
fn append(builder: &mut Builder<Vec<u8>>, text: &str) {
    let (path, kind, rest) = [(" -> ", EntryType::Symlink), (" => ", EntryType::Link), (" = ", EntryType::Regular)]
        .into_iter()
        .find_map(|(sign, kind)| text.split_once(sign).map(|(path, rest)| (path, kind, rest)))
        .unwrap_or_else(|| match text.strip_suffix(" c") {
            Some(path) => (path, EntryType::Char, ""),
            None => (text, EntryType::Directory, ""),
        });
    let content = if kind == EntryType::Regular { rest } else { "" };
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    if kind != EntryType::Regular {
        header.as_mut_bytes()[157..157 + rest.len()].copy_from_slice(rest.as_bytes());
    }
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_000_000_000);
    header.set_device_major(0).unwrap();
    header.set_device_minor(0).unwrap();
    header.set_cksum();
    builder.append(&header, content.as_bytes()).unwrap();
}

pub fn archive(entries: &[&str]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    entries.iter().for_each(|entry| append(&mut builder, entry));
    builder.into_inner().unwrap()
}

/// For each case: its name, the sets, of which the last is refused, and a part of the error.
pub fn hostile() -> Vec<(&'static str, Vec<Vec<u8>>, &'static str)> {
    let one = |entries: &[&str]| vec![archive(entries)];
    let good = archive(&["etc/", "etc/rc = x", "netbsd = k"]);
    let packed = zstd::encode_all(good.as_slice(), 1).unwrap();
    let mut damaged = packed.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    vec![
        ("a way out", one(&["etc/", "../escaped = x"]), "leads out of the tree by .."),
        ("a way out in the middle", one(&["etc/../../escaped = x"]), "leads out of the tree by .."),
        ("an absolute name", one(&["/escaped = x"]), "\"/escaped\" is absolute"),
        ("a file through a symlink", one(&["out -> /", "out/escaped = x"]), "would be written through a symlink"),
        ("a folder through a symlink", one(&["out -> ..", "out/escaped/"]), "would be written through a symlink"),
        (
            "a symlink of one set, a file through it of the next",
            vec![archive(&["out -> /nowhere/in/the/image"]), archive(&["out/escaped = x"])],
            "missing",
        ),
        ("a hard link out", one(&["shadow => /etc/shadow"]), "is a hard link to \"/etc/shadow\""),
        ("a hard link up", one(&["shadow => ../../etc/shadow"]), "is a hard link to"),
        (
            "a hard link into another set",
            vec![archive(&["etc/", "etc/a = x"]), archive(&["b => etc/a"])],
            "which is not an earlier file",
        ),
        ("a file in a folder's place", vec![good.clone(), archive(&["etc = x"])], "/etc"),
        ("a folder in a file's place", vec![good.clone(), archive(&["netbsd/"])], "/netbsd"),
        ("a device in a folder's place", vec![good.clone(), archive(&["etc c"])], "/etc"),
        ("a folder after a file of its name", one(&["a = x", "a/", "a/b = x"]), "/a"),
        ("no tar", vec![b"hello, world\n".repeat(100)], "byte"),
        ("nothing", vec![Vec::new()], "byte 0"),
        ("half a tar", vec![good[..700].to_vec()], "ends"),
        ("half of what was compressed", vec![packed[..packed.len() / 2].to_vec()], ""),
        ("damage in what was compressed", vec![damaged], ""),
        ("the wrong end", vec![[good.as_slice(), &[7; 512]].concat()], "nothing but zeros"),
    ]
}
