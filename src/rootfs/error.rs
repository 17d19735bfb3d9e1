use crate::format::compression::CompressionError;
use crate::format::tar::TarError;
use crate::packages::deb::DebError;
use crate::packages::{Digest, FetchError};
use crate::sandbox::{Exit, SandboxError};
use crate::templates::TemplateError;
use crate::tree::TreeError;
use crate::util::file_error::FileError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    #[error("unpacking {archive}: {problem}")]
    Archive { archive: String, problem: String },
    #[error("unpacking {archive}")]
    Tar { archive: String, source: TarError },
    #[error("decompressing it")]
    Compression(#[from] CompressionError),
    #[error("unpacking {archive}: {path} {problem}")]
    Entry { archive: String, path: String, problem: String },
    #[error(
        "unpacking {archive}: {path} belongs to {other} too, and neither replaces the other; drop one of the two from the profile"
    )]
    Conflict { archive: String, path: String, other: String },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("package {name} {version} is in the lock, but its file is not at hand")]
    NotFetched { name: String, version: String },
    #[error("{script} of package {package} failed: {exit}; its last lines:\n{log}")]
    Script { package: String, script: String, exit: String, log: String },
    #[error("running {program} in the image failed with {exit}; its last lines:\n{log}")]
    Program { program: String, exit: Exit, log: String },
    #[error("reading dpkg's database in the image: {file}: {problem}")]
    Database { file: String, problem: String },
    #[error("service {unit} is not in the image{hint}")]
    UnknownUnit { unit: String, hint: String },
    #[error("the profile's services need systemctl in the image: add the package systemd, or drop services.{key}")]
    NoSystemctl { key: &'static str },
    #[error("overlay file {path}: {problem}")]
    Overlay { path: String, problem: String },
    #[error("set {path} ({origin}): SHA-256 found {found}, expected {expected}", path = path.display())]
    SetChecksum { path: PathBuf, origin: String, found: Digest, expected: Digest },
    #[error("set {path} ({origin})", path = path.display())]
    Set { path: PathBuf, origin: String, source: Box<AssembleError> },
    #[error("pruning pattern {pattern:?}: {problem}")]
    Pattern { pattern: String, problem: String },
    #[error(
        "user {user} has a password in {file}, expected none in an image: passwords come with the config partition"
    )]
    Password { user: String, file: &'static str },
    #[error("{file} in the image, line {line}: found {found:?}, expected {expected}")]
    Accounts { file: &'static str, line: usize, found: String, expected: &'static str },
    #[error("{kind} {name} needs an id, and 100 to 999 are taken: remove {kind}s from the lock that no image has")]
    NoId { kind: &'static str, name: String },
    #[error(
        "{kind}s {other} and {name} are both {id} in the image, expected {} and {}, as the lock says; change the lock", targets[1], targets[0]
    )]
    SharedId { kind: &'static str, name: String, other: String, id: u32, targets: [u32; 2] },
    #[error("the lock gives {kind} {name} the id {id}, which {kind} {other} has in the image; change the lock")]
    TakenId { kind: &'static str, name: String, other: String, id: u32 },
    #[error("writing the lock out: {problem}")]
    Lock { problem: String },
    #[error("writing the manifest")]
    Manifest(#[from] serde_json::Error),
    #[error("unpacking {archive}")]
    Deb { archive: String, source: Box<DebError> },
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Tree(#[from] TreeError),
}
