//! The SHA-256 of the source: of the lines that `sha256sum` prints for its files, sorted by path.
//! build.rs includes this file, so it imports nothing from the crate.

use sha2::{Digest, Sha256};
use std::fs;
use std::io::{self, Error};
use std::path::Path;

/// The parts of the repository that can change an image's bytes. Profiles are left out: an image's profile is an input
/// of that image, embedded or not, and a user's own profiles and locks are in the same directory.
pub const PARTS: [&str; 5] = ["Cargo.lock", "Cargo.toml", "build.rs", "src", "templates"];

/// The hash of the repository at `root`, in hex.
pub fn sha256(root: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for part in PARTS {
        names.extend(files(root, part)?);
    }
    names.sort();
    let mut all = Sha256::new();
    for name in names {
        all.update(format!("{}  {name}\n", digest(&unix_lines(&read(&root.join(&name))?))));
    }
    Ok(hex(&all.finalize()))
}

/// The files at `name` or below it, as paths relative to `root`. Hidden files and editors' backup copies are not part
/// of the source.
pub fn files(root: &Path, name: &str) -> io::Result<Vec<String>> {
    let path = root.join(name);
    let kind = fs::metadata(&path).map_err(|error| failed("reading", &path, &error))?.file_type();
    if kind.is_file() {
        return Ok(vec![name.to_owned()]);
    }
    if !kind.is_dir() {
        return Err(failed("reading", &path, &Error::other("found a pipe, socket or device, expected a file")));
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&path).map_err(|error| failed("listing", &path, &error))? {
        let below = entry.map_err(|error| failed("listing", &path, &error))?.file_name();
        match below.to_str() {
            Some(below) if below.starts_with('.') || below.ends_with('~') => {}
            // sha256sum escapes both characters.
            Some(below) if !below.contains(['\n', '\\']) => found.extend(files(root, &format!("{name}/{below}"))?),
            _ => {
                let expected = format!("found the name {below:?}, expected UTF-8 without line feed and backslash");
                return Err(failed("listing", &path, &Error::other(expected)));
            }
        }
    }
    Ok(found)
}

/// Converts CRLF to LF in text. Content with a zero byte is binary and is returned unchanged.
pub fn unix_lines(bytes: &[u8]) -> Vec<u8> {
    if bytes.contains(&0) {
        return bytes.to_vec();
    }
    let mut lines = Vec::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        if byte != b'\r' || bytes.get(at + 1) != Some(&b'\n') {
            lines.push(byte);
        }
    }
    lines
}

/// SHA-256 in hex.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| failed("reading", path, &error))
}

fn failed(attempt: &str, path: &Path, error: &Error) -> Error {
    Error::new(error.kind(), format!("{attempt} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use tempfile::TempDir;

    type Source = BTreeMap<String, Vec<u8>>;

    fn source() -> Source {
        let files = [
            ("Cargo.lock", "version = 4\n\n[[package]]\n"),
            ("Cargo.toml", "[package]\n"),
            ("build.rs", "fn main() {}\n"),
            ("src/lib.rs", "pub mod a;\n"),
            ("src/lib/a.rs", "// One\n// Two\n"),
            ("src/agent/Cargo.toml", "[package]\n"),
            ("templates/grub.cfg.hbs", "set timeout=1\n\n"),
        ];
        files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).into()
    }

    fn write<'a>(files: impl IntoIterator<Item = (&'a String, &'a Vec<u8>)>) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        root
    }

    fn hash(files: &Source) -> String {
        sha256(write(files).path()).unwrap()
    }

    /// The expected hash was computed by coreutils 9.1 for the same files.
    #[test]
    fn it_is_what_sha256sum_makes_of_the_files() {
        assert_eq!(hash(&source()), "41be7b358363ed0cab600457d7c32773c4c128e120cc829c158a353d109c156f");
    }

    #[test]
    fn neither_folder_nor_order_nor_modes_nor_line_endings_count() {
        let expected = hash(&source());
        for mode in [0o600, 0o755] {
            let crlf: Source = source()
                .into_iter()
                .map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap().replace('\n', "\r\n").into_bytes()))
                .collect();
            let root = write(crlf.iter().rev());
            for name in crlf.keys() {
                fs::set_permissions(root.path().join(name), Permissions::from_mode(mode)).unwrap();
            }
            assert_eq!(sha256(root.path()).unwrap(), expected, "mode {mode:o}");
        }
    }

    #[test]
    fn what_is_no_text_counts_as_it_is() {
        let with = |bytes: &[u8]| {
            let mut files = source();
            files.insert("src/key.gpg".to_owned(), bytes.to_vec());
            hash(&files)
        };
        assert_ne!(with(b"\0\r\n"), with(b"\0\n"));
        assert_eq!(with(b"0\r\n"), with(b"0\n"));
    }

    #[test]
    fn every_content_and_every_name_counts() {
        let expected = hash(&source());
        for name in source().keys() {
            let mut other = source();
            other.get_mut(name).unwrap().push(b' ');
            assert_ne!(hash(&other), expected, "content of {name}");
            if !PARTS.contains(&name.as_str()) {
                let mut other = source();
                let bytes = other.remove(name).unwrap();
                other.insert(format!("{name}x"), bytes);
                assert_ne!(hash(&other), expected, "name of {name}");
                let mut other = source();
                other.remove(name);
                // The directory remains: git removes empty directories, but an archive may have them.
                let root = write(&other);
                fs::create_dir_all(root.path().join("templates")).unwrap();
                assert_ne!(sha256(root.path()).unwrap(), expected, "absence of {name}");
            }
        }
        let mut other = source();
        other.insert("src/new.rs".to_owned(), Vec::new());
        assert_ne!(hash(&other), expected, "an empty file");
    }

    #[test]
    fn what_cannot_change_an_image_does_not_count() {
        let expected = hash(&source());
        let mut more = source();
        for name in [
            "profiles/host.lock",
            "profiles/own.toml",
            "README.md",
            "tests/cli.rs",
            "ci/test",
            "target/release/applbuild",
            "src/.lib.rs.swp",
            "src/lib.rs~",
        ] {
            more.insert(name.to_owned(), b"more\n".to_vec());
        }
        assert_eq!(hash(&more), expected);
    }

    #[test]
    fn what_is_missing_or_has_no_content_is_an_error_with_its_path() {
        let mut without = source();
        without.remove("Cargo.lock");
        let error = sha256(write(&without).path()).unwrap_err().to_string();
        assert!(error.starts_with("reading ") && error.contains("/Cargo.lock: "), "{error}");
        let root = write(&source());
        nix::unistd::mkfifo(&root.path().join("src/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = sha256(root.path()).unwrap_err().to_string();
        assert!(error.ends_with("src/pipe: found a pipe, socket or device, expected a file"), "{error}");
        let root = write(&source());
        fs::write(root.path().join(PathBuf::from("src/two\nlines")), "").unwrap();
        let error = sha256(root.path()).unwrap_err().to_string();
        assert!(error.ends_with("expected UTF-8 without line feed and backslash"), "{error}");
    }

    proptest! {
        #[test]
        fn two_sources_have_one_hash_only_where_they_are_the_same(
            one in proptest::collection::btree_map("[a-c]{1,2}", "[a\n ]{0,3}", 0..4),
            two in proptest::collection::btree_map("[a-c]{1,2}", "[a\n ]{0,3}", 0..4),
        ) {
            let all = |more: &BTreeMap<String, String>| {
                let mut files = source();
                files.extend(more.iter().map(|(name, text)| (format!("src/{name}"), text.clone().into_bytes())));
                hash(&files)
            };
            prop_assert_eq!(all(&one) == all(&two), one == two);
        }

        #[test]
        fn lines_end_alike(text in "[a\r\n]{0,12}") {
            let lines = unix_lines(text.as_bytes());
            prop_assert_eq!(lines, text.replace("\r\n", "\n").into_bytes());
        }
    }
}
