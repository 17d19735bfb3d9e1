use crate::util::file_error::FileError;
use std::io;
use std::path::PathBuf;

/// What keeps a virtual machine from doing what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    #[error("{} is not on PATH; install it: apt install qemu-system-x86 ovmf", super::PROGRAM)]
    NotInstalled,
    #[error("no {what} firmware found, looked for {looked}; install it: apt install ovmf")]
    NoFirmware { what: &'static str, looked: String },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("starting {}", super::PROGRAM)]
    Start { source: io::Error },
    #[error("talking to QEMU's monitor")]
    MonitorIo { source: io::Error },
    #[error("QEMU's monitor refused {command}: {answer}")]
    Monitor { command: String, answer: String },
    #[error("no drive is named {name:?} in this scenario, expected one of {known}")]
    NoDrive { name: String, known: String },
    #[error("{} holds no guest {name:?}, expected one of {known}", manifest.display())]
    NoGuest { name: String, manifest: PathBuf, known: String },
    #[error("{} has no boot entry \"kvm\", which is started without a loader; it has {known}", manifest.display())]
    NoEntry { manifest: PathBuf, known: String },
    #[error("{} is not of a guest image: it says neither guest nor root", path.display())]
    NotGuest { path: PathBuf },
    #[error("reading {}", path.display())]
    Manifest { path: PathBuf, source: serde_json::Error },
    #[error("{} is no image: found {found}, expected an ISO 9660 volume, as applbuild iso writes it", path.display())]
    NoImage { path: PathBuf, found: &'static str },
    #[error("{} is cut off: found {found} bytes, expected the {expected} of its volume; copy or build it again", path.display())]
    Truncated { path: PathBuf, found: u64, expected: u64 },
    #[error("finding {path} in the image: {reason}")]
    Inside { path: String, reason: String },
}

impl QemuError {
    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::from(FileError::new(doing, path, source))
    }
}
