//! Reads small user-supplied text files, at most 1 MiB. Refuses FIFOs, sockets and devices, which could block or never
//! end.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// In bytes; far more than a hand-written file has.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a file of at most 1 MiB.
pub fn read_user_file(path: &Path) -> io::Result<Vec<u8>> {
    // Checked before opening: opening a FIFO waits for a writer.
    let kind = fs::metadata(path)?;
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(io::Error::other("found a pipe, socket or device, expected a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("found more than {MAX_BYTES} bytes, expected fewer")));
    }
    Ok(bytes)
}

/// Reads a text of at most 1 MiB.
pub fn read_user_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read_user_file(path)?).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        io::Error::new(io::ErrorKind::InvalidData, format!("line {} is not UTF-8", line + 1))
    })
}

/// [`read_user_text`]; `None` if there is no entry of this name. A symlink that leads nowhere is an error.
pub fn read_optional_text(path: &Path) -> io::Result<Option<String>> {
    match read_user_text(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_small_text_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("text"), "a\n").unwrap();
        assert_eq!(read_user_text(&path("text")).unwrap(), "a\n");
        fs::write(path("latin"), b"a\nb\xff").unwrap();
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("endless")).unwrap();
        File::create(path("large")).unwrap().set_len(MAX_BYTES + 1).unwrap();
        for (name, said) in [
            ("latin", "line 2 is not UTF-8"),
            ("pipe", "found a pipe"),
            ("endless", "found a pipe, socket or device"),
            ("large", "more than 1048576 bytes"),
            ("", "is a directory"),
        ] {
            let error = read_user_text(&path(name)).unwrap_err().to_string();
            assert!(error.contains(said), "{name}: {error}");
        }
        assert_eq!(read_user_text(&path("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn only_a_name_that_is_free_is_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("link");
        assert_eq!(read_optional_text(&path).unwrap(), None);
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert_eq!(read_optional_text(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(directory.path().join("nowhere"), "x").unwrap();
        assert_eq!(read_optional_text(&path).unwrap().as_deref(), Some("x"));
    }
}
