//! Why a virtual machine cannot be started or watched.

use crate::util::file_error::FileError;
use std::io;
use std::path::PathBuf;

/// Why a virtual machine cannot be started or controlled.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// QEMU is not installed.
    #[error("{} is not on PATH; install it: apt install qemu-system-x86 ovmf", super::PROGRAM)]
    NotInstalled,
    /// OVMF is not installed.
    #[error("no {what} firmware found, looked for {looked}; install it: apt install ovmf")]
    NoFirmware {
        /// `UEFI` or `Secure Boot UEFI`.
        what: &'static str,
        /// The paths that were searched.
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
    /// A step names a drive that is not in the scenario.
    #[error("no drive is named {name:?} in this scenario, expected one of {known}")]
    NoDrive {
        /// The given name.
        name: String,
        /// The scenario's drives.
        known: String,
    },
    /// The image has no guest of this name.
    #[error("{} includes no guest {name:?}, expected one of {known}", manifest.display())]
    NoGuest {
        /// The given name.
        name: String,
        /// The image's manifest.
        manifest: PathBuf,
        /// The image's guests.
        known: String,
    },
    /// The image has no entry for its plain kernel.
    #[error("{} has no boot entry \"kvm\", which can be started without a boot loader; found {known}", manifest.display())]
    NoEntry {
        /// The image's manifest.
        manifest: PathBuf,
        /// The existing entries.
        known: String,
    },
    /// A manifest is not that of a guest image.
    #[error("{} is not the manifest of a guest image: expected guest and root in it", path.display())]
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
    /// A file is not an image.
    #[error("{} is not an image: found {found}, expected an ISO 9660 volume, as applbuild iso writes it", path.display())]
    NoImage {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: &'static str,
    },
    /// An image's file is shorter than its volume.
    #[error("{} is cut off: found {found} bytes, expected the {expected} of its volume; copy or build it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The file's length in bytes.
        found: u64,
        /// The volume's length in bytes (ECMA-119, 8.4.8).
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
