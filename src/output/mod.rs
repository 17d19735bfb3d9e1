//! Outputs: what a build makes of a configured root. A kind of output is one file behind the trait [`Output`].

pub mod catalog;
mod error;
mod guest;
mod image;
mod iso;
pub mod records;
mod tar;

pub use error::OutputError;
pub use guest::GuestDirectory;
pub use image::{Image, manifest_text};
pub use iso::Iso;
pub use tar::Tar;

use crate::boot::grub::Loader;
use crate::profile::{Profile, RootFormat};
use crate::progress::Progress;
use crate::util::file_error::FileError;
use appliance_contract::Sha256;
use appliance_contract::manifest::{Manifest, Verity};
use appliance_contract::marker::Role;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

/// A kind of output. The pipeline asks nothing else about the kind that it builds.
pub trait Output: Debug + Sync {
    /// The command that builds it: `applbuild COMMAND --profile NAME`.
    fn command(&self) -> &'static str;

    /// The shape of an image of this kind in the directory of images.
    fn shape(&self) -> Shape;

    /// Whether it needs GRUB, and so the packages in the lock's `[tools]`.
    fn needs_boot_loader(&self) -> bool;

    /// Whether it includes the guest images that a host's profile names.
    fn includes_guests(&self) -> bool;

    /// Whether it contains the initramfs with the agent.
    fn needs_initramfs(&self) -> bool {
        true
    }

    /// Where the root is written as a squashfs image with a verity tree. `None` if the output contains the tree itself.
    fn root_location(&self, profile: &Profile) -> Option<RootLocation>;

    /// Writes the output to `input.path`. Returns once all of it is on disk.
    fn lay_out(&self, input: &Input<'_>, progress: &dyn Progress) -> Result<Artifact, OutputError>;
}

/// The default kind for profiles of this role; a lock is made for this kind.
pub fn default_kind(role: Role) -> &'static dyn Output {
    match role {
        Role::Host => &Iso,
        Role::Guest => &GuestDirectory,
    }
}

/// The shape of an image in the directory of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A file `NAME-VERSION` + `suffix`, with its records next to it.
    File {
        /// `.iso`, `.tar.zst` …
        suffix: &'static str,
        /// Records are named `NAME-VERSION` + this + `.RECORD`, which distinguishes the records of two kinds.
        records: &'static str,
    },
    /// A directory `NAME-VERSION` that contains its records.
    Directory,
}

impl Shape {
    /// What follows `NAME-VERSION` in the name of an image.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::File { suffix, .. } => suffix,
            Self::Directory => "",
        }
    }
}

/// Where the root image is written before the output is laid out.
#[derive(Debug, Clone, Copy)]
pub struct RootLocation {
    /// The file's name in the build's work directory.
    pub file: &'static str,
    /// The offset of the root image in this file, in bytes. It depends on the image's manifest and on the number of
    /// guest images in the output.
    pub offset: fn(manifest: &Manifest, guests: usize) -> u64,
}

impl RootLocation {
    /// `Some` if `profile` asks for a squashfs image.
    fn if_packed(profile: &Profile, file: &'static str, offset: fn(&Manifest, usize) -> u64) -> Option<Self> {
        match profile.root.format {
            RootFormat::Squashfs => Some(Self { file, offset }),
            RootFormat::Plain => None,
        }
    }
}

/// Everything that an output is made from.
#[derive(Debug)]
pub struct Input<'a> {
    /// What does not depend on the kind.
    pub image: Image<'a>,
    /// The root file system.
    pub root: Root<'a>,
    /// Guest images to include.
    pub guests: &'a [Guest<'a>],
    /// GRUB from the lock's tools; `None` for a kind that does not need it.
    pub loader: Option<&'a dyn Loader>,
    /// The user's own templates.
    pub templates: Option<&'a Path>,
    /// The lock, as it is written to its file.
    pub lock_text: &'a str,
    /// The file or directory to make.
    pub path: &'a Path,
}

/// A guest image in its directory.
#[derive(Debug, Clone, Copy)]
pub struct Guest<'a> {
    /// Where its files are.
    pub directory: &'a Path,
    /// The manifest in this directory.
    pub manifest: &'a Manifest,
}

/// The form of the root file system.
#[derive(Debug, Clone, Copy)]
pub enum Root<'a> {
    /// A squashfs image with its verity tree, as [`Output::root_location`] says.
    Squashfs {
        /// An ISO takes ownership of this file: it becomes the ISO, and is removed on failure.
        file: &'a Path,
        /// The offset of the root image, which extends with its verity tree to the end of the file.
        offset: u64,
        /// The offset of the hash tree in the root image, and its root hash.
        verity: &'a Verity,
    },
    /// The tree itself.
    Plain,
}

/// A finished output.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// The file or directory that was made.
    pub path: PathBuf,
    /// Bytes of the file, or of all files in the directory.
    pub size: u64,
    /// SHA-256 of the file, or of the `SHA256SUMS` in the directory, which lists all of its files.
    pub sha256: Sha256,
    /// The manifest and the bill of materials, as they are in the output.
    pub manifest_json: Vec<u8>,
    /// See `manifest_json`.
    pub sbom: Vec<u8>,
    /// Bytes of the initramfs, if there is one.
    pub initramfs_size: Option<u64>,
}

/// Adds the operation and the path to an I/O error.
fn failed<'p>(action: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> OutputError + use<'p> {
    move |source| OutputError::from(FileError::new(action, path.to_owned(), source))
}
