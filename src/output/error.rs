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
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Initramfs(#[from] InitramfsError),
    #[error(transparent)]
    Microcode(#[from] MicrocodeError),
    #[error(transparent)]
    Grub(#[from] GrubError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Checksum(#[from] ChecksumError),
    #[error(transparent)]
    Sbom(#[from] SbomError),
    #[error(transparent)]
    Iso(#[from] IsoError),
    #[error("writing {path}", path = path.display())]
    Write { path: PathBuf, source: Box<IsoError> },
    #[error(transparent)]
    Core(#[from] CoreTooShort),
    #[error("laying out the medium")]
    Tree(#[from] TreeError),
    #[error("laying out the medium")]
    Path(#[from] PathError),
    #[error("laying out the medium: {path} is not in it in one run")]
    Scattered { path: String },
    #[error("laying out the medium: verity's root hash is {found:?}, expected 64 hexadecimal digits")]
    RootHash { found: String },
    #[error(
        "the volume label {label:?} is {length} characters long, expected 1 to 32; set volume-label in the profile"
    )]
    Label { label: String, length: usize },
    #[error("the profile {name} leaves the agent out, without which no guest finds its root; leave agent = false out")]
    NoAgent { name: String },
    #[error("laying {path} onto the medium: found SHA-256 {found}, its manifest expects {expected}", path = path.display())]
    GuestFile { path: PathBuf, found: String, expected: String },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("an ISO needs the boot loader, whose packages were not unpacked")]
    NoBootLoader,
    #[error(
        "the guest image of the profile {profile} would be a plain tree, which no host starts; set root.format = \"squashfs\""
    )]
    PlainGuest { profile: String },
}
