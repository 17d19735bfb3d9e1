use super::*;
use crate::format::compression::tests::{ALL, compress};
use appliance_contract::causes::WithCauses as _;
use std::io::Write;

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(vec![]);
    for (path, text) in files {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_entry_type(if path.ends_with('/') {
            ::tar::EntryType::Directory
        } else {
            ::tar::EntryType::Regular
        });
        builder.append_data(&mut header, path, text.as_bytes()).expect("into memory");
    }
    builder.into_inner().expect("into memory")
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, content) in members {
        out.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).bytes());
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(2), b'\n');
    }
    out
}

const CONTROL_FILE: &str = "Package: a\nVersion: 1:2-3\nArchitecture: all\nDescription: x\n Package: folded\n";

fn package(compression: Compression) -> Vec<u8> {
    let control = tar(&[("./", ""), ("./control", CONTROL_FILE), ("./postinst", "#!/bin/sh\n")]);
    let data = tar(&[("./", ""), ("./usr/", ""), ("./usr/file", "content")]);
    let name = |stem: &str| format!("{stem}.tar{}", compression.suffix());
    ar(&[
        ("debian-binary", b"2.0\n"),
        (&name("control"), &compress(compression, &control)),
        (&name("data"), &compress(compression, &data)),
    ])
}

fn with<T>(bytes: &[u8], work: impl FnOnce(&Path) -> T) -> T {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("written");
    work(file.path())
}

type Files = (BTreeMap<String, ControlFile>, Vec<String>);

/// The whole content of a package, or the error.
fn read(bytes: &[u8]) -> Result<Files, String> {
    with(bytes, |path| {
        let deb = Deb::open(path).map_err(|error| error.with_causes())?;
        let control = deb.control().map_err(|error| error.with_causes())?;
        let mut paths = vec![];
        let data = deb.data().map_err(|error| error.with_causes())?;
        tar::entries::<_, TarError>(data, Limits::default(), |entry| {
            paths.push(entry.path.to_string());
            Ok(())
        })
        .map_err(|error| error.with_causes())?;
        Ok((control, paths))
    })
}

fn locked() -> LockedPackage {
    LockedPackage {
        name: "a".to_owned(),
        version: "1:2-3".to_owned(),
        architecture: "all".to_owned(),
        sha256: Default::default(),
        size: 0,
        archive: "debian".to_owned(),
        path: "pool/a.deb".to_owned(),
    }
}

#[test]
fn reads_every_compression() {
    for compression in ALL {
        let (control, paths) = read(&package(compression)).expect("a package");
        assert_eq!(control.keys().collect::<Vec<_>>(), ["control", "postinst"]);
        assert_eq!((control["postinst"].mode, control["postinst"].bytes.as_slice()), (0o755, &b"#!/bin/sh\n"[..]));
        assert_eq!(paths, ["/", "/usr", "/usr/file"], "{compression}");
    }
}

#[test]
fn compares_with_the_lock() {
    with(&package(Compression::Gzip), |path| {
        let deb = Deb::open(path).expect("a package");
        let control = deb.control().expect("control files");
        assert!(deb.check(&control["control"], &locked()).is_ok());
        let other = LockedPackage { version: "2-3".to_owned(), ..locked() };
        let error = deb.check(&control["control"], &other).expect_err("another version").with_causes();
        assert!(error.ends_with("its control file has Version \"1:2-3\", expected \"2-3\""), "{error}");
        assert!(error.contains(&path.display().to_string()));
    });
}

#[test]
fn members_that_deb5_says_to_ignore_are_ignored() {
    let control = tar(&[("control", CONTROL_FILE)]);
    let data = tar(&[]);
    let members: [(&str, &[u8]); 6] = [
        ("debian-binary/", b"2.1\nmore\n"),
        ("_x", b"odd"),
        ("control.tar/", &control),
        ("_y", b""),
        ("data.tar/", &data),
        ("_z", b"odd"),
    ];
    assert!(read(&ar(&members)).is_ok());
}

#[test]
fn refuses_what_is_no_package() {
    let control = tar(&[("control", CONTROL_FILE)]);
    let data = tar(&[]);
    let binary: (&str, &[u8]) = ("debian-binary", b"2.0\n");
    let control_tar: (&str, &[u8]) = ("control.tar", &control);
    let data_tar: (&str, &[u8]) = ("data.tar", &data);
    let broken = |at: usize, byte: u8| {
        let mut bytes = package(Compression::None);
        bytes[at] = byte;
        bytes
    };
    let of_control = |files: &[(&str, &str)]| ar(&[binary, ("control.tar", &tar(files)), data_tar]);
    for (bytes, message) in [
        (b"".to_vec(), "found no ar archive"),
        (b"PK\x03\x04 something else".to_vec(), "found no ar archive"),
        (ar(&[]), "the file ends at byte 8, expected debian-binary"),
        (ar(&[binary]), "expected control.tar"),
        (ar(&[binary, control_tar]), "expected data.tar"),
        (ar(&[control_tar, binary, data_tar]), "found member \"control.tar\" at byte 8, expected debian-binary"),
        (ar(&[binary, data_tar, control_tar]), "found member \"data.tar\""),
        (ar(&[binary, control_tar, ("data.tar.bz2", &data)]), "found member \"data.tar.bz2\""),
        (ar(&[binary, control_tar, data_tar, data_tar]), "expected the end of the file"),
        ([ar(&[binary, control_tar, data_tar]), b"garbage".to_vec()].concat(), "expected the end of the file"),
        (ar(&[("debian-binary", b"3.0\n"), control_tar, data_tar]), "found format version \"3.0\""),
        (ar(&[binary, ("control.tar.xz", &control), data_tar]), "control.tar.xz: found plain data"),
        (ar(&[binary, ("control.tar", &compress(Compression::Xz, &control)), data_tar]), "control.tar: found xz data"),
        (broken(66, b'?'), "the end mark"),
        (broken(56, b'x'), "the size"),
        (of_control(&[("postinst", "")]), "found no file named control"),
        (of_control(&[("control", "x"), ("sub/control", "x")]), "control.tar: found /sub/control"),
    ] {
        let error = read(&bytes).expect_err(message);
        assert!(error.contains(message), "{error}: expected {message}");
    }
}

#[test]
fn a_truncation_anywhere_is_an_error() {
    for compression in ALL {
        let bytes = package(compression);
        let step = if compression == Compression::None { 97 } else { 1 };
        // The last member's padding byte may be missing.
        for length in (0..bytes.len() - 1).step_by(step) {
            assert!(read(&bytes[..length]).is_err(), "{compression} cut to {length} of {}", bytes.len());
        }
    }
}
