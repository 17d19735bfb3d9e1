use crate::format::squashfs::SquashfsError;
use crate::format::verity::VerityError;
use crate::output::OutputError;
use crate::output::catalog::CatalogError;
use crate::packages::FetchError;
use crate::packages::deb::DebError;
use crate::packages::lock::LockError;
use crate::packages::resolver::ResolveError;
use crate::rootfs::AssembleError;
use crate::templates::TemplateError;
use crate::tree::TreeError;
use std::io;
use std::path::PathBuf;

/// Why a build did not end with an image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Assemble(AssembleError),
    #[error("making the root image {}: {source}", path.display())]
    Squashfs { path: PathBuf, source: Box<SquashfsError> },
    #[error("making the root image: {0}")]
    Verity(#[from] VerityError),
    #[error("making the root image: {0}")]
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
        "no archive lists {} as the lock has it, and it cannot be had; move what is gone, too: --update {}",
        names.join(", "), names.join(" ")
    )]
    Gone { names: Vec<String>, source: Box<FetchError> },
    #[error("reading the package {name} that the lock keeps: {source}")]
    Kept { name: String, source: Box<DebError> },
    #[error("reading {}", path.display())]
    Manifest { path: PathBuf, source: serde_json::Error },
    #[error("writing the lock")]
    RenderLock(#[source] toml::ser::Error),
    #[error("{attempt} {}", path.display())]
    Io { attempt: &'static str, path: PathBuf, source: io::Error },
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
