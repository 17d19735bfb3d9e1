//! Why a build failed: the errors of all stages.

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
use crate::util::file_error::FileError;
use std::path::PathBuf;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Fetching indices, signatures or package files.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Reading a package index.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Making the root.
    #[error(transparent)]
    Assemble(AssembleError),
    /// Writing the root file system image.
    #[error("making the root image {}", path.display())]
    Squashfs {
        /// The image's file.
        path: PathBuf,
        /// The writer's error.
        source: Box<SquashfsError>,
    },
    /// Appending the hash tree.
    #[error("making the root image")]
    Verity(#[from] VerityError),
    /// A path cannot be added to the image's tree.
    #[error("making the root image")]
    Tree(#[from] TreeError),
    /// The user's templates.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Laying out the image.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// Finding or publishing the image.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Parsing a lock.
    #[error("reading the lock {}", path.display())]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// The parser's error.
        source: LockError,
    },
    /// The lock does not match the profile, and may not be changed.
    #[error("the lock {} {difference}; {hint}", path.display())]
    StaleLock {
        /// The lock's file.
        path: PathBuf,
        /// How the lock differs from the profile: a predicate of the lock.
        difference: String,
        /// The command or flag that solves it.
        hint: String,
    },
    /// Maintainer scripts made users that have no ids in the lock, and the lock may not be changed.
    #[error(
        "the lock {} has no ids for {}; update it: applbuild lock --profile {profile}",
        path.display(), names.join(", ")
    )]
    NoIds {
        /// The lock's file.
        path: PathBuf,
        /// The users and groups.
        names: Vec<String>,
        /// The profile's name.
        profile: String,
    },
    /// `--update` names a package that is not in the lock.
    #[error("the lock has no package {name}{}", nearest.as_ref().map(|near| format!("; did you mean {near}?")).unwrap_or_default())]
    NotLocked {
        /// The name that the user gave.
        name: String,
        /// The most similar name in the lock.
        nearest: Option<String>,
    },
    /// Locked packages are neither in an index nor in the cache.
    #[error(
        "no archive offers {} in the version of the lock, and the cache lacks it (to update it as well, pass --update {})",
        names.join(", "), names.join(" ")
    )]
    PackagesUnavailable {
        /// The packages.
        names: Vec<String>,
        /// Why the first cannot be fetched.
        source: Box<FetchError>,
    },
    /// The file of a locked package cannot be read.
    #[error("reading the locked package {name}")]
    UnreadablePackage {
        /// The package.
        name: String,
        /// The reader's error.
        source: Box<DebError>,
    },
    /// Parsing the manifest of an earlier image.
    #[error("reading {}", path.display())]
    Manifest {
        /// The manifest's file.
        path: PathBuf,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// The lock cannot be written as TOML.
    #[error("writing the lock")]
    RenderLock {
        /// The serialiser's error.
        source: toml::ser::Error,
    },
    /// Reading or writing a file failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<AssembleError> for BuildError {
    fn from(error: AssembleError) -> Self {
        match error {
            // The report treats fetch errors of all stages alike.
            AssembleError::Fetch(source) => Self::Fetch(source),
            other => Self::Assemble(other),
        }
    }
}
