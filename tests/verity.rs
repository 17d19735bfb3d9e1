//! The hash tree, judged by `veritysetup`.

use applbuild::format::verity::{VerityOptions, VerityRoot, append};
use applbuild_test_support::judges::judge;
use std::fs::{self, File};
use std::path::Path;
use std::process::Output;
use uuid::Uuid;

const UUID: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";

fn veritysetup(arguments: &[&str]) -> Output {
    judge("veritysetup").args(arguments).output().expect("running veritysetup")
}

fn data(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn ours(path: &Path, bytes: &[u8], salt: &[u8]) -> VerityRoot {
    fs::write(path, bytes).expect("writing a test's file");
    let file = File::options().read(true).write(true).open(path).expect("opening it");
    let uuid = Uuid::parse_str(UUID).expect("a UUID of the test");
    append(&file, 0, &VerityOptions { uuid, salt: salt.to_vec() }).expect("appending a hash tree")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the test's folder has a plain name")
}

#[test]
fn equals_veritysetup_format() {
    let folder = tempfile::tempdir().expect("making a folder");
    let (mine, theirs) = (folder.path().join("mine"), folder.path().join("theirs"));
    let salts: [&[u8]; 4] = [&[], &[0xab], &[7; 32], &[9; 256]];
    let lengths = [4096, 5000, 128 * 4096, 129 * 4096, 4096 * (128 * 128 + 300) + 1];
    for (number, length) in lengths.into_iter().enumerate() {
        let salt = salts[number % salts.len()];
        let bytes = data(length);
        let root = ours(&mine, &bytes, salt);
        let mut padded = bytes;
        padded.resize(root.hash_offset as usize, 0);
        fs::write(&theirs, padded).expect("writing a test's file");
        let salt = if salt.is_empty() { "-".to_owned() } else { hex::encode(salt) };
        let output = veritysetup(&[
            "format",
            &format!("--hash-offset={}", root.hash_offset),
            &format!("--data-blocks={}", root.data_blocks),
            &format!("--salt={salt}"),
            &format!("--uuid={UUID}"),
            text(&theirs),
            text(&theirs),
        ]);
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
        assert!(shown.contains(&root.root_hash.to_string()), "{length} bytes: another root hash in\n{shown}");
        let same = fs::read(&mine).expect("reading") == fs::read(&theirs).expect("reading");
        assert!(same, "{length} bytes: the files differ");
    }
}

#[test]
fn veritysetup_finds_one_flipped_bit() {
    let folder = tempfile::tempdir().expect("making a folder");
    let path = folder.path().join("image");
    let root = ours(&path, &data(300 * 4096), b"salt");
    let good = fs::read(&path).expect("reading");
    let verify = || {
        let offset = format!("--hash-offset={}", root.hash_offset);
        veritysetup(&["verify", &offset, text(&path), text(&path), &root.root_hash.to_string()]).status.success()
    };
    assert!(verify());
    // In the data, and in the tree's leaves.
    for place in [0, 299 * 4096 + 4095, root.hash_offset as usize + 2 * 4096 + 5] {
        let mut bad = good.clone();
        bad[place] ^= 0x10;
        fs::write(&path, &bad).expect("writing");
        assert!(!verify(), "a bit flipped at byte {place} went unseen");
    }
    fs::write(&path, &good).expect("writing");
    assert!(verify());
}
