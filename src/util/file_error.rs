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
        Self { action, path: path.into(), source }
    }
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
