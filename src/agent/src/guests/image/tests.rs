use super::*;
use crate::formats::iso_writer::{self, Folder, Node as Entry};
use crate::formats::verity::hex;
use crate::guests::tests::Node;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The files of an image, as `applbuild guest` makes them: a root of one block and its hash block.
pub fn files(name: &str, version: &str) -> BTreeMap<String, Vec<u8>> {
    let mut root = vec![0; 4 * 4096];
    root[..4].copy_from_slice(b"hsqs");
    root[40..48].copy_from_slice(&8000u64.to_le_bytes());
    root[100..100 + version.len()].copy_from_slice(version.as_bytes());
    let superblock = &mut root[8192..];
    superblock[..6].copy_from_slice(b"verity");
    superblock[8] = 1;
    superblock[12] = 1;
    superblock[32..38].copy_from_slice(b"sha256");
    superblock[64..68].copy_from_slice(&4096u32.to_le_bytes());
    superblock[68..72].copy_from_slice(&4096u32.to_le_bytes());
    superblock[72..80].copy_from_slice(&2u64.to_le_bytes());
    superblock[80] = 4;
    superblock[88..92].copy_from_slice(b"salt");
    root[12288..12296].copy_from_slice(b"top hash");
    let top = Sha256::new().chain_update(b"salt").chain_update(&root[12288..]).finalize();
    let mut files = BTreeMap::from([
        ("vmlinuz".to_owned(), format!("kernel {version}").into_bytes()),
        ("initramfs.zst".to_owned(), b"initramfs".to_vec()),
    ]);
    let listed: Vec<String> = files
        .iter()
        .map(|(path, bytes)| {
            let (size, hash) = (bytes.len(), hex(&Sha256::digest(bytes)));
            format!(r#"{{"path": "{path}", "size": {size}, "sha256": "{hash}"}}"#)
        })
        .collect();
    let manifest = format!(
        r#"{{"schema": 1, "name": "{name}", "version": "{version}", "kind": "guest", "architecture": "amd64",
        "applbuild": {{"version": "0", "sha256": "{}"}}, "agent_sha256": null, "lock_sha256": "{}",
        "source_date_epoch": 0, "medium_uuid": null, "packages": [], "files": [{}],
        "root": {{"path": "root.squashfs", "format": "squashfs", "verity": {{"uuid": "u", "salt": "73616c74",
            "root_hash": "{}", "hash_offset": 8192, "data_blocks": 2}}}},
        "guest": {{"kernel": "vmlinuz", "initramfs": "initramfs.zst",
            "kernel_arguments": "appliance.root=dev:DEVICE appliance.roothash={} appliance.role=guest"}}}}"#,
        hex(&[0; 32]),
        hex(&[0; 32]),
        listed.join(", "),
        hex(&top),
        hex(&top)
    );
    files.insert("manifest.json".to_owned(), manifest.into_bytes());
    files.insert("root.squashfs".to_owned(), root);
    files
}

pub fn store(node: &Node, name: &str, version: &str) {
    for (file, bytes) in files(name, version) {
        node.file(&format!("{}/{name}-{version}/{file}", guest_image::STORE), &bytes);
    }
}

/// A medium with one image, from which the node has booted.
pub fn medium(node: &Node, name: &str, version: &str) {
    let folder = |entries: Vec<(&str, Entry)>| Folder {
        mode: 0o755,
        entries: entries.into_iter().map(|(name, node)| (name.as_bytes().to_vec(), node)).collect(),
    };
    let files = files(name, version);
    let files = files.iter().map(|(name, bytes)| (name.as_str(), Entry::File { mode: 0o644, bytes: bytes.clone() }));
    let image = Entry::Folder(folder(files.collect()));
    let guests = Entry::Folder(folder(vec![(name, image)]));
    let ours = Entry::Folder(folder(vec![("guests", guests)]));
    node.file("/dev/sr0", &iso_writer::write(&folder(vec![("appliance", ours)]), "MEDIUM").unwrap());
    node.file("/run/appliance/boot.json", RECORD.as_bytes());
}

pub const RECORD: &str = r#"{"schema": 1, "role": "host", "image": {"name": "host", "version": "1"},
    "root": {"source": "medium:2026", "device": "/dev/sr0", "offset": 0, "root_hash": null},
    "config": {"device": "/dev/sda1", "file_system": "ext4", "uuid": null, "label": null, "node": "node1",
        "generation": "r7", "others": []},
    "refused": [], "etc": {"files": 0, "bytes": 0, "dropped": [], "global_links": []}, "var": "image",
    "machine_id": "", "warnings": [], "steps": []}"#;

fn newest(node: &Node) -> Result<(String, Vec<Rejected>), String> {
    chosen(node, None, &[])
}

fn chosen(node: &Node, version: Option<&str>, passed: &[&str]) -> Result<(String, Vec<Rejected>), String> {
    let passed: Vec<String> = passed.iter().map(|&version| version.to_owned()).collect();
    let request = ImageRequest { name: "web", version, passed_over: &passed, stage: None };
    match choose(&node.world(), request) {
        Ok((verified, rejected)) => Ok((verified.manifest.version, rejected)),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn the_newest_of_medium_and_store_is_taken() {
    let node = Node::new();
    medium(&node, "web", "2026.11.2");
    store(&node, "web", "2026.11.1-2");
    assert_eq!(newest(&node).unwrap(), ("2026.11.2".to_owned(), Vec::new()));
    store(&node, "web", "2026.11.10");
    assert_eq!(newest(&node).unwrap().0, "2026.11.10");
    assert_eq!(chosen(&node, None, &["2026.11.10"]).unwrap().0, "2026.11.2");
    assert_eq!(chosen(&node, Some("2026.11.1-2"), &[]).unwrap().0, "2026.11.1-2");
    let found = find(&node.world(), "web");
    assert_eq!(found.images.len(), 3);
    assert_eq!(found.images[1].place.to_string(), "/appliance/guests/web on the medium /dev/sr0");
}

#[test]
fn another_images_folder_is_no_version_of_this_one() {
    let node = Node::new();
    store(&node, "web-big", "9");
    store(&node, "web", "1");
    assert_eq!(newest(&node).unwrap(), ("1".to_owned(), Vec::new()));
}

#[test]
fn a_broken_newer_image_is_named_and_passed_over() {
    let node = Node::new();
    store(&node, "web", "1");
    for (file, at, said) in [
        ("vmlinuz", 0, "its vmlinuz has SHA-256 "),
        ("initramfs.zst", 3, "its initramfs.zst has SHA-256 "),
        ("root.squashfs", 12290, "its root.squashfs has verity root "),
        ("root.squashfs", 8192, "the signature is"),
        ("manifest.json", 0, "its manifest.json is not valid: "),
    ] {
        store(&node, "web", "2");
        let path = node.at(&format!("{}/web-2/{file}", guest_image::STORE));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let (version, rejected) = newest(&node).unwrap();
        assert_eq!((version.as_str(), rejected.len()), ("1", 1), "{file}");
        assert_eq!(rejected[0].place, "/var/lib/appliance/images/web-2");
        assert!(rejected[0].reason.contains(said), "{}", rejected[0].reason);
        let error = chosen(&node, Some("2"), &[]).unwrap_err();
        assert!(error.starts_with("no image web of version 2 is sound: /var/lib/appliance/images/web-2: "), "{error}");
        assert!(error.contains(said) && !error.contains('\n'), "{error}");
    }
    std::fs::rename(
        node.at(&format!("{}/web-1", guest_image::STORE)),
        node.at(&format!("{}/web-3", guest_image::STORE)),
    )
    .unwrap();
    let error = newest(&node).unwrap_err();
    assert!(error.contains("its manifest is of version 1, expected a folder called web-1"), "{error}");
}

#[test]
fn an_image_whose_root_was_copied_in_part_is_passed_over() {
    let node = Node::new();
    for left in [16383, 12288 + 4095, 12288, 8192, 100] {
        store(&node, "web", "2");
        let path = node.at(&format!("{}/web-2/root.squashfs", guest_image::STORE));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..left]).unwrap();
        let error = newest(&node).unwrap_err();
        assert!(error.contains("its root.squashfs: the root image ends before its"), "{left}: {error}");
    }
}

#[test]
fn an_image_that_is_nowhere_is_refused_with_where_to_put_it() {
    let node = Node::new();
    assert_eq!(
        newest(&node).unwrap_err(),
        "no image web is on the medium or in the store; put it into /var/lib/appliance/images/web-VERSION or boot a \
         medium that holds it"
    );
    medium(&node, "other", "1");
    assert!(newest(&node).unwrap_err().starts_with("no image web is on the medium"));
}

#[test]
fn a_guest_is_started_with_the_hash_that_its_root_was_held_against() {
    for wrong in ["appliance.roothash=00", "appliance.roothash=none", ""] {
        let node = Node::new();
        store(&node, "web", "1");
        let path = node.at(&format!("{}/web-1/manifest.json", guest_image::STORE));
        let text = std::fs::read_to_string(&path).unwrap();
        let right = text.split_ascii_whitespace().find(|word| word.starts_with("appliance.roothash=")).unwrap();
        std::fs::write(&path, text.replace(right, wrong)).unwrap();
        let error = newest(&node).unwrap_err();
        assert!(error.contains("its kernel arguments have the verity root ["), "{error}");
    }
}

#[test]
fn a_manifest_cannot_name_files_outside_its_folder() {
    let node = Node::new();
    std::fs::create_dir_all(node.at("/run/stage")).unwrap();
    node.file("/etc/precious", b"precious");
    let stage = Stage { folder: Path::new("/run/stage"), all: true };
    for (inside, outside) in [("vmlinuz", "/etc/precious"), ("initramfs.zst", "../x"), ("root.squashfs", "..")] {
        store(&node, "web", "1");
        let path = node.at(&format!("{}/web-1/manifest.json", guest_image::STORE));
        let text = std::fs::read_to_string(&path).unwrap().replace(inside, outside);
        std::fs::write(&path, text).unwrap();
        let request = ImageRequest { name: "web", version: None, passed_over: &[], stage: Some(stage) };
        let error = choose(&node.world(), request).unwrap_err().to_string();
        let said = format!("its manifest names the file {outside:?}, expected the name of a file beside it");
        assert!(error.contains(&said), "{error}");
    }
    assert_eq!(std::fs::read(node.at("/etc/precious")).unwrap(), b"precious");
    assert!(crate::system::files::names(&node.at("/run/stage")).is_empty());
}

#[test]
fn a_named_pipe_in_the_store_holds_nothing_up() {
    let node = Node::new();
    store(&node, "web", "1");
    let path = node.at(&format!("{}/web-1/manifest.json", guest_image::STORE));
    std::fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let error = newest(&node).unwrap_err();
    assert!(error.contains("reading its manifest.json: it is no regular file"), "{error}");
}

#[test]
fn kernel_and_initramfs_of_a_medium_are_staged() {
    let node = Node::new();
    medium(&node, "web", "1");
    std::fs::create_dir(node.at("/run/stage")).unwrap();
    let stage = Stage { folder: Path::new("/run/stage"), all: false };
    let request = ImageRequest { name: "web", version: None, passed_over: &[], stage: Some(stage) };
    let (verified, _) = choose(&node.world(), request).unwrap();
    assert_eq!(verified.kernel, Path::new("/run/stage/vmlinuz"));
    assert_eq!(std::fs::read(node.at("/run/stage/vmlinuz")).unwrap(), b"kernel 1");
    store(&node, "web", "2");
    let (verified, _) = choose(&node.world(), request).unwrap();
    assert_eq!(verified.initramfs, Path::new("/var/lib/appliance/images/web-2/initramfs.zst"));
    let request = ImageRequest { stage: Some(Stage { all: true, ..stage }), ..request };
    assert_eq!(choose(&node.world(), request).unwrap().0.initramfs, Path::new("/run/stage/initramfs.zst"));
}
