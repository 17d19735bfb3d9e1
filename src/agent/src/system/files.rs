//! Small text files, and the names in a directory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Most bytes of a file of an operator's that has no bound of its own.
pub const MAX_SIZE: u64 = 1 << 20;

/// A small text file that a user or another program wrote: at most `limit` bytes.
/// What is no such file is [`io::ErrorKind::InvalidData`]: opening a FIFO would
/// wait for ever, and a device may have no end.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let invalid = |reason: String| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    if !fs::metadata(path)?.is_file() {
        return invalid("it is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return invalid(format!("it is larger than {} KiB", limit >> 10));
    }
    String::from_utf8(bytes).or_else(|_| invalid("it is not UTF-8 text".to_owned()))
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
        assert_eq!(read_text(&file, 1024).unwrap(), "text");
        assert_eq!(read_text(&pipe, 1024).unwrap_err().to_string(), "it is no regular file");
        assert_eq!(read_text(&folder.path().join("gone"), 1024).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(names(folder.path()), ["file", "pipe"]);
    }

    #[test]
    fn a_file_is_read_up_to_its_bound_and_only_text() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, [b'x'; 1024]).unwrap();
        assert_eq!(read_text(&file, 1024).unwrap().len(), 1024);
        for (bytes, expected) in [(vec![b'x'; 1025], "it is larger than 1 KiB"), (vec![0xff], "it is not UTF-8 text")] {
            fs::write(&file, bytes).unwrap();
            let error = read_text(&file, 1024).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::InvalidData, expected));
        }
    }
}
