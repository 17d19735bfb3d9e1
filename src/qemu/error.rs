//! Why a virtual machine cannot be started or watched.

use crate::util::file_error::FileError;
use std::io;
use std::path::PathBuf;

/// What keeps a virtual machine from doing what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// There is no QEMU.
    #[error("{} is not on PATH; install it: apt install qemu-system-x86 ovmf", super::PROGRAM)]
    NotInstalled,
    /// There is no OVMF.
    #[error("no {what} firmware found, looked for {looked}; install it: apt install ovmf")]
    NoFirmware {
        /// `UEFI` or `Secure Boot UEFI`.
        what: &'static str,
        /// The paths where it may be.
        looked: String,
    },
    /// Reading or writing a file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// QEMU cannot be started.
    #[error("starting {}", super::PROGRAM)]
    Start {
        /// The system's error.
        source: io::Error,
    },
    /// The connection to QEMU's monitor broke.
    #[error("talking to QEMU's monitor")]
    MonitorIo {
        /// The system's error.
        source: io::Error,
    },
    /// QEMU refused a command.
    #[error("QEMU's monitor refused {command}: {answer}")]
    Monitor {
        /// The command's name (QEMU Machine Protocol).
        command: String,
        /// QEMU's answer.
        answer: String,
    },
    /// A step names a drive that the scenario has not.
    #[error("no drive is named {name:?} in this scenario, expected one of {known}")]
    NoDrive {
        /// The name as it was given.
        name: String,
        /// The scenario's drives.
        known: String,
    },
    /// The image has no guest of this name.
    #[error("{} holds no guest {name:?}, expected one of {known}", manifest.display())]
    NoGuest {
        /// The name as it was given.
        name: String,
        /// The image's manifest.
        manifest: PathBuf,
        /// The image's guests.
        known: String,
    },
    /// The image has no entry for its plain kernel.
    #[error("{} has no boot entry \"kvm\", which is started without a loader; it has {known}", manifest.display())]
    NoEntry {
        /// The image's manifest.
        manifest: PathBuf,
        /// The entries that it has.
        known: String,
    },
    /// A manifest is of no guest image.
    #[error("{} is not of a guest image: it says neither guest nor root", path.display())]
    NotGuest {
        /// The manifest.
        path: PathBuf,
    },
    /// A manifest cannot be parsed.
    #[error("reading {}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// A file is no image.
    #[error("{} is no image: found {found}, expected an ISO 9660 volume, as applbuild iso writes it", path.display())]
    NoImage {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },
    /// An image's file is shorter than its volume.
    #[error("{} is cut off: found {found} bytes, expected the {expected} of its volume; copy or build it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        found: u64,
        /// The volume's bytes (ECMA-119, 8.4.8).
        expected: u64,
    },
    /// A file on the image's volume cannot be found or read.
    #[error("finding {path} in the image: {reason}")]
    Inside {
        /// The file's path on the volume.
        path: String,
        /// Why not.
        reason: String,
    },
}

impl QemuError {
    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::from(FileError::new(doing, path, source))
    }
}
