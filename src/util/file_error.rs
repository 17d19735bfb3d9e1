//! The I/O error that names the attempt and the path.

use std::io;
use std::path::{Path, PathBuf};

/// An I/O error, with what was attempted and on which path.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}", path.display())]
pub struct FileError {
    /// What was attempted, in the gerund: "reading".
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

impl FileError {
    /// `action` is in the gerund: "reading".
    pub fn new(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self { action, path: path.into(), source: without_path(source) }
    }
}

/// The system's error in an error of crate tempfile, which adds the path of its temporary file and has no error number.
fn without_path(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|wrapper| wrapper.source()?.downcast_ref::<io::Error>()?.raw_os_error());
    inner.map_or(error, io::Error::from_raw_os_error)
}

/// Adds the attempt and the path to an I/O error.
pub trait At<T> {
    /// `action` is in the gerund: `.at("reading", path)`.
    fn at(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, FileError>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, FileError> {
        self.map_err(|error| FileError::new(action, path.as_ref(), error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::causes::WithCauses as _;

    #[test]
    fn a_path_is_named_once_and_the_error_number_is_kept() {
        let missing = Path::new("/nonexistent/directory");
        let error = tempfile::tempfile_in(missing).at("making a file in", missing).unwrap_err();
        assert_eq!(error.source.raw_os_error(), Some(2));
        assert_eq!(
            error.with_causes(),
            "making a file in /nonexistent/directory: No such file or directory (os error 2)"
        );
        let error = Err::<(), _>(io::Error::other("odd")).at("reading", missing).unwrap_err();
        assert_eq!(error.with_causes(), "reading /nonexistent/directory: odd");
    }
}
