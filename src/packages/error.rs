//! What can go wrong between an archive and verified package files.

use super::archives::ArchiveError;
use super::cache::CacheError;
use super::http::HttpError;
use super::inrelease::SignatureError;
use super::keyring::KeyringError;
use super::release::{ReleaseError, date};
use super::url::{Url, UrlError};

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("fetching the suite {suite}: {source}")]
    Suite { suite: String, source: HttpError },
    #[error("the archive {archive} has no suite {suite} ({url} is not there){}", hint(.nearest))]
    UnknownSuite { archive: String, suite: String, url: Url, nearest: Option<String> },
    #[error("{url} is not signed: there is neither an InRelease nor {signature}; the archive's owner must sign it")]
    Unsigned { url: Url, signature: Url },
    #[error("verifying the signature of {url}: {source}{}", mend_keys(source, archive, own_key))]
    Signature { url: Url, archive: String, own_key: Option<String>, source: Box<SignatureError> },
    #[error("reading {url}: {source}")]
    Release { url: Url, source: ReleaseError },
    #[error(
        "{url}: it is dated {}, and {whence} {}: the mirror has gone back; try again later, pass another mirror with --mirror, or take it as it is with --allow-older",
        date(*dated), date(*seen)
    )]
    Older { url: Url, dated: i64, seen: i64, whence: &'static str },
    #[error("the suite {suite} has no component {component}, only {}{}", listed(known), hint(.nearest))]
    UnknownComponent { suite: String, component: String, known: Vec<String>, nearest: Option<String> },
    #[error("the suite {suite} has no architecture {architecture}, only {}", listed(known))]
    UnknownArchitecture { suite: String, architecture: String, known: Vec<String> },
    #[error(
        "{url} lists no {path} in a form that can be read (.xz, .zst, .lzma, .gz or plain){}",
        if others.is_empty() { String::new() } else { format!(", only {}; the archive's owner must add one", others.join(", ")) }
    )]
    NoIndex { url: Url, path: String, others: Vec<String> },
    #[error("{url}: {source}{}", mend(source))]
    Index { url: Url, source: IndexError },
    /// With the package's name and version.
    #[error("package {package}: {source}")]
    Package { package: String, source: Box<PackageError> },
    #[error(
        "the build is offline, and the cache lacks {} package{}: {}; build once without --offline, or take what is missing \
         from an archive: applbuild archive import DIR",
        names.len(), if names.len() == 1 { "" } else { "s" }, some(.names)
    )]
    NotCached { names: Vec<String> },
}

/// What is wrong with an index file.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error(transparent)]
    Transfer(#[from] HttpError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("decompressing: {0}")]
    Corrupt(std::io::Error),
    #[error("it decompresses to more than the {expected} bytes that Release lists")]
    TooLarge { expected: u64 },
    #[error("it decompresses to more than {most} bytes, and Release does not list how many there are")]
    Endless { most: u64 },
    #[error("found the {found}, expected the {expected}")]
    Hash { expected: String, found: String },
    #[error("decompressed, found {found} and expected {expected}")]
    Plain { expected: String, found: String },
}

/// What is wrong with one package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("its path: {0}")]
    Path(#[from] UrlError),
    #[error("its SHA-256: found {0:?}, expected 64 hexadecimal digits")]
    Digest(String),
    #[error("{url}: found the SHA-512 {found}, expected {expected}")]
    Sha512 { url: Url, expected: String, found: String },
    #[error(transparent)]
    Transfer(#[from] HttpError),
    #[error("{url}: {source}")]
    Content { url: Url, source: CacheError },
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// What to do about an index. A server that does not serve says nothing about its files.
fn mend(error: &IndexError) -> &'static str {
    match error {
        IndexError::Cache(CacheError::Io { .. }) | IndexError::Transfer(HttpError::Offline { .. }) => "",
        IndexError::Transfer(HttpError::GaveUp { .. } | HttpError::Transport { .. } | HttpError::Status { .. }) => {
            "; try again later, or pass another mirror with --mirror"
        }
        _ => "; the mirror is inconsistent: try again later, or pass another with --mirror",
    }
}

/// What to do about keys: an archive's own file, or that of all others.
fn mend_keys(error: &SignatureError, archive: &str, own_key: &Option<String>) -> String {
    match own_key {
        _ if !error.is_of_keys() => String::new(),
        Some(file) => format!("; put the archive's key of today into {file} (archives.{archive}.key in the profile)"),
        None => format!("; name the archive's key by archives.{archive}.key in the profile, or pass it with --keyring"),
    }
}

/// Names in a message that says there are no others.
fn listed(names: &[String]) -> String {
    if names.is_empty() { "an empty list of them".to_owned() } else { names.join(", ") }
}

/// The first few of many names.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 12;
    match names.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", names[..SHOWN].join(", ")),
        _ => names.join(", "),
    }
}

/// The end of a message on a name that is not known.
pub(super) fn hint(name: &Option<String>) -> String {
    name.as_ref().map_or(String::new(), |name| format!("; did you mean {name}?"))
}
