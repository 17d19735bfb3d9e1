//! Why an output could not be made.

use super::iso::patches::CoreTooShort;
use super::records::checksums::ChecksumError;
use super::records::sbom::SbomError;
use crate::boot::grub::GrubError;
use crate::boot::initramfs::InitramfsError;
use crate::boot::kernel::KernelError;
use crate::boot::microcode::MicrocodeError;
use crate::format::iso::IsoError;
use crate::templates::TemplateError;
use crate::tree::{PathError, TreeError};
use crate::util::file_error::FileError;
use appliance_contract::Sha256;
use std::path::PathBuf;

/// Why an output cannot be laid out.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// No kernel to boot.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The initramfs cannot be made.
    #[error(transparent)]
    Initramfs(#[from] InitramfsError),
    /// The microcode archive cannot be made.
    #[error(transparent)]
    Microcode(#[from] MicrocodeError),
    /// The boot loader's files cannot be made.
    #[error(transparent)]
    Grub(#[from] GrubError),
    /// A template cannot be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A file cannot be read for its checksum.
    #[error(transparent)]
    Checksum(#[from] ChecksumError),
    /// The bill of materials cannot be written.
    #[error(transparent)]
    Sbom(#[from] SbomError),
    /// The volume cannot be planned.
    #[error(transparent)]
    Iso(#[from] IsoError),
    /// The volume cannot be written.
    #[error("writing {path}", path = path.display())]
    Write {
        /// The volume's file.
        path: PathBuf,
        /// The writer's error.
        source: Box<IsoError>,
    },
    /// GRUB's core image has no room for the boot information table.
    #[error(transparent)]
    Core(#[from] CoreTooShort),
    /// The output's tree cannot be made.
    #[error("laying out the medium")]
    Tree(#[from] TreeError),
    /// As `Tree`.
    #[error("laying out the medium")]
    Path(#[from] PathError),
    /// A file that is read by its offset lies in several pieces.
    #[error("laying out the medium: {path} is not in it in one run")]
    Scattered {
        /// The file on the volume.
        path: String,
    },
    /// The profile's volume label does not fit ISO 9660.
    #[error(
        "the volume label {label:?} is {length} characters long, expected 1 to 32; set volume-label in the profile"
    )]
    Label {
        /// The label.
        label: String,
        /// In characters.
        length: usize,
    },
    /// A guest image without the agent cannot boot.
    #[error("the profile {name} leaves the agent out, without which no guest finds its root; leave agent = false out")]
    NoAgent {
        /// The profile's name.
        name: String,
    },
    /// A guest image's file is not what its manifest says.
    #[error("laying {path} onto the medium: found SHA-256 {found}, its manifest expects {expected}", path = path.display())]
    GuestFile {
        /// The file.
        path: PathBuf,
        /// Its SHA-256.
        found: Sha256,
        /// SHA-256 in hex.
        expected: String,
    },
    /// Reading or writing a file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The kind needs GRUB, and there is none.
    #[error("an ISO needs the boot loader, whose packages were not unpacked")]
    NoBootLoader,
    /// A host starts guests from squashfs alone.
    #[error(
        "the guest image of the profile {profile} would be a plain tree, which no host starts; set root.format = \"squashfs\""
    )]
    PlainGuest {
        /// The guest's profile.
        profile: String,
    },
}
