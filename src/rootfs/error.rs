//! Why a root cannot be made of a lock's packages.

use crate::format::compression::CompressionError;
use crate::format::tar::TarError;
use crate::packages::FetchError;
use crate::packages::deb::DebError;
use crate::sandbox::{Exit, SandboxError};
use crate::templates::TemplateError;
use crate::tree::TreeError;
use crate::util::file_error::FileError;
use appliance_contract::Sha256;
use std::path::PathBuf;

/// Why a root cannot be made of a lock's packages.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// A package is no Debian package.
    #[error("unpacking {archive}: {problem}")]
    Archive {
        /// The package and its version.
        archive: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A tar archive cannot be read.
    #[error("unpacking {archive}")]
    Tar {
        /// The package and its version, or the set.
        archive: String,
        /// The reader's error.
        source: TarError,
    },
    /// A tar archive cannot be decompressed.
    #[error("decompressing it")]
    Compression(#[from] CompressionError),
    /// An entry of a tar archive cannot be unpacked.
    #[error("unpacking {archive}: {path} {problem}")]
    Entry {
        /// The package and its version, or the set.
        archive: String,
        /// The entry's path.
        path: String,
        /// Why not.
        problem: String,
    },
    /// Two packages have the same file (Debian Policy 7.6).
    #[error(
        "unpacking {archive}: {path} belongs to {other} too, and neither replaces the other; drop one of the two from the profile"
    )]
    Conflict {
        /// The later package and its version.
        archive: String,
        /// The file.
        path: String,
        /// The earlier package.
        other: String,
    },
    /// Reading or writing a file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The packages cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A package's file was not handed over.
    #[error("package {name} {version} is in the lock, but its file is not at hand")]
    NotFetched {
        /// The package.
        name: String,
        /// Its version.
        version: String,
    },
    /// A maintainer script failed.
    #[error("{script} of package {package} failed: {exit}; its last lines:\n{log}")]
    Script {
        /// The package.
        package: String,
        /// `preinst`, `postinst` …
        script: String,
        /// How it ended.
        exit: String,
        /// The last lines of its output.
        log: String,
    },
    /// A program of the image failed.
    #[error("running {program} in the image failed with {exit}; its last lines:\n{log}")]
    Program {
        /// The program and its arguments.
        program: String,
        /// How it ended.
        exit: Exit,
        /// The last lines of its output.
        log: String,
    },
    /// A file of dpkg's database is not in its form.
    #[error("reading dpkg's database in the image: {file}: {problem}")]
    Database {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The profile names a unit that the image has not.
    #[error("service {unit} is not in the image{hint}")]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// A unit that may be meant, or nothing.
        hint: String,
    },
    /// The profile switches units and the image has no systemd.
    #[error("the profile's services need systemctl in the image: add the package systemd, or drop services.{key}")]
    NoSystemctl {
        /// The key below `services`.
        key: &'static str,
    },
    /// A file of the overlay cannot be laid.
    #[error("overlay file {path}: {problem}")]
    Overlay {
        /// Its path in the image.
        path: String,
        /// Why not.
        problem: String,
    },
    /// A tar set has other bytes than the profile says.
    #[error("set {path} ({origin}): SHA-256 found {found}, expected {expected}", path = path.display())]
    SetChecksum {
        /// The set's file.
        path: PathBuf,
        /// The line of the profile.
        origin: String,
        /// What the file hashes to.
        found: Sha256,
        /// What the profile says.
        expected: Sha256,
    },
    /// A tar set cannot be unpacked.
    #[error("set {path} ({origin})", path = path.display())]
    Set {
        /// The set's file.
        path: PathBuf,
        /// The line of the profile.
        origin: String,
        /// Why not.
        source: Box<AssembleError>,
    },
    /// A pattern of `prune.paths` cannot be parsed.
    #[error("pruning pattern {pattern:?}: {problem}")]
    Pattern {
        /// As the profile has it.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An account of the image could be logged in to by password.
    #[error(
        "user {user} has a password in {file}, expected none in an image: passwords come with the config partition"
    )]
    Password {
        /// The account.
        user: String,
        /// passwd(5) or shadow(5).
        file: &'static str,
    },
    /// A line of passwd(5), group(5) or shadow(5) is not in its form.
    #[error("{file} in the image, line {line}: found {found:?}, expected {expected}")]
    Accounts {
        /// The file.
        file: &'static str,
        /// Counted from 1.
        line: usize,
        /// The line.
        found: String,
        /// The form.
        expected: &'static str,
    },
    /// All ids for system users or groups are taken.
    #[error("{kind} {name} needs an id, and 100 to 999 are taken: remove {kind}s from the lock that no image has")]
    NoId {
        /// `user` or `group`.
        kind: &'static str,
        /// Who needs one.
        name: String,
    },
    /// Two names have one id in the image and two in the lock.
    #[error(
        "{kind}s {other} and {name} are both {id} in the image, expected {} and {}, as the lock says; change the lock", targets[1], targets[0]
    )]
    SharedId {
        /// `user` or `group`.
        kind: &'static str,
        /// One of them.
        name: String,
        /// The other.
        other: String,
        /// The id in the image.
        id: u32,
        /// The ids in the lock, of `name` and of `other`.
        targets: [u32; 2],
    },
    /// The lock's id belongs to somebody else in the image.
    #[error("the lock gives {kind} {name} the id {id}, which {kind} {other} has in the image; change the lock")]
    TakenId {
        /// `user` or `group`.
        kind: &'static str,
        /// Who has it in the lock.
        name: String,
        /// Who has it in the image.
        other: String,
        /// The id.
        id: u32,
    },
    /// The lock cannot be written.
    #[error("writing the lock out: {problem}")]
    Lock {
        /// Why not.
        problem: String,
    },
    /// The manifest cannot be written.
    #[error("writing the manifest")]
    Manifest(#[from] serde_json::Error),
    /// A package's file cannot be read.
    #[error("unpacking {archive}")]
    Deb {
        /// The package and its version.
        archive: String,
        /// The reader's error.
        source: Box<DebError>,
    },
    /// A template of the overlay cannot be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A program cannot be run in the image.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The image's tree cannot be made.
    #[error(transparent)]
    Tree(#[from] TreeError),
}
