use crate::assemble::AssembleError;
use crate::format::squashfs::SquashfsError;
use crate::format::verity::VerityError;
use crate::images::ImagesError;
use crate::medium::MediumError;
use crate::packages::FetchError;
use crate::packages::index::IndexError;
use crate::packages::lock::LockError;
use crate::packages::resolver::ResolveError;
use crate::tree::TreeError;
use std::io;
use std::path::PathBuf;

/// Why a build did not end with an image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    #[error("making the root image: {0}")]
    Squashfs(#[from] SquashfsError),
    #[error("making the root image: {0}")]
    Verity(#[from] VerityError),
    #[error("making the root image: {0}")]
    Tree(#[from] TreeError),
    #[error(transparent)]
    Medium(#[from] MediumError),
    #[error(transparent)]
    Images(#[from] ImagesError),
    #[error("reading the lock {}", path.display())]
    Lock { path: PathBuf, source: LockError },
    #[error(
        "the lock {} is of the profile {of}, and what {profile} asks for is something else; make a new one: build without it",
        path.display()
    )]
    StaleLock { path: PathBuf, profile: String, of: String },
    #[error(
        "the guest image of the profile {profile} would be a plain tree, which no host starts; set root.format = \"squashfs\""
    )]
    PlainGuest { profile: String },
    #[error("reading {}", path.display())]
    Manifest { path: PathBuf, source: serde_json::Error },
    #[error("writing the lock")]
    RenderLock(#[source] toml::ser::Error),
    #[error("{attempt} {}", path.display())]
    Io { attempt: &'static str, path: PathBuf, source: io::Error },
}
