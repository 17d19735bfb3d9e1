//! What lies in a folder of the kernel's, of ours or of the config's.

use std::fs;
use std::io;
use std::path::Path;

/// The bytes of a file, which must be one: opening a named pipe would wait for ever.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    fs::read(path)
}

/// The names in `folder` that are text, in order; a missing folder is an empty one.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;

    #[test]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let [file, pipe] = ["file", "pipe"].map(|name| folder.path().join(name));
        fs::write(&file, "text").unwrap();
        nix::unistd::mkfifo(&pipe, Mode::S_IRUSR).unwrap();
        assert_eq!(read_file(&file).unwrap(), b"text");
        assert!(read_file(&pipe).unwrap_err().to_string().contains("it is no file"));
        assert_eq!(read_file(&folder.path().join("gone")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(names(folder.path()), ["file", "pipe"]);
    }
}
