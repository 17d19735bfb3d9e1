use crate::format::squashfs::SquashfsError;
use crate::format::verity::VerityError;
use crate::output::OutputError;
use crate::output::catalog::CatalogError;
use crate::packages::FetchError;
use crate::packages::deb::DebError;
use crate::packages::index::IndexError;
use crate::packages::lock::LockError;
use crate::packages::resolver::ResolveError;
use crate::rootfs::AssembleError;
use crate::templates::TemplateError;
use crate::tree::TreeError;
use crate::util::file_error::FileError;
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
    Assemble(AssembleError),
    #[error("making the root image {}", path.display())]
    Squashfs { path: PathBuf, source: Box<SquashfsError> },
    #[error("making the root image")]
    Verity(#[from] VerityError),
    #[error("making the root image")]
    Tree(#[from] TreeError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("reading the lock {}", path.display())]
    Lock { path: PathBuf, source: LockError },
    #[error("the lock {} {moved}; {mend}", path.display())]
    StaleLock { path: PathBuf, moved: String, mend: String },
    #[error(
        "the lock {} has no ids for {}; bring it up to date: applbuild lock --profile {profile}",
        path.display(), names.join(", ")
    )]
    NoIds { path: PathBuf, names: Vec<String>, profile: String },
    #[error("the lock has no package {name}{}", nearest.as_ref().map(|near| format!("; did you mean {near}?")).unwrap_or_default())]
    NotLocked { name: String, nearest: Option<String> },
    #[error(
        "no archive offers {} in the version of the lock, and the cache lacks it (to update it as well, pass --update {})",
        names.join(", "), names.join(" ")
    )]
    Gone { names: Vec<String>, source: Box<FetchError> },
    #[error("reading the package {name} that the lock keeps")]
    Kept { name: String, source: Box<DebError> },
    #[error("reading {}", path.display())]
    Manifest { path: PathBuf, source: serde_json::Error },
    #[error("writing the lock")]
    RenderLock { source: toml::ser::Error },
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<AssembleError> for BuildError {
    fn from(error: AssembleError) -> Self {
        match error {
            // It is the same error whenever packages are fetched.
            AssembleError::Fetch(source) => Self::Fetch(source),
            other => Self::Assemble(other),
        }
    }
}
