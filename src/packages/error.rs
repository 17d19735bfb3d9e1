//! What can go wrong between an archive and verified package files.

use super::archive::inrelease::SignatureError;
use super::archive::keyring::KeyringError;
use super::archive::locations::ArchiveError;
use super::archive::release::{ReleaseError, date};
use super::fetch::http::HttpError;
use super::fetch::url::{Url, UrlError};
use crate::cache::CacheError;

/// Why indices or packages cannot be obtained.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The location of an archive is unknown.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The keyring cannot be read.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The cache cannot be read or written.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A suite's InRelease file cannot be fetched.
    #[error("fetching the suite {suite}")]
    Suite {
        /// The suite.
        suite: String,
        /// The cause.
        source: HttpError,
    },
    /// The archive has no such suite.
    #[error("the archive {archive} has no suite {suite} ({url} is not there){}", hint(.nearest))]
    UnknownSuite {
        /// The archive.
        archive: String,
        /// The suite.
        suite: String,
        /// The URL at which its InRelease file was expected.
        url: Url,
        /// The nearest known suite, if one is near enough.
        nearest: Option<String>,
    },
    /// A suite has no signature.
    #[error("{url} is not signed: there is neither an InRelease nor {signature}; the archive's owner must sign it")]
    Unsigned {
        /// The Release file.
        url: Url,
        /// The URL at which its signature was expected.
        signature: Url,
    },
    /// The signature of a suite's InRelease or Release file is not accepted.
    #[error("verifying the signature of {url}{}", mend_keys(source, archive, own_key))]
    Signature {
        /// The file.
        url: Url,
        /// The archive.
        archive: String,
        /// The archive's own key file, if it has one.
        own_key: Option<String>,
        /// Why the signature is not accepted.
        source: Box<SignatureError>,
    },
    /// A suite's Release file is refused.
    #[error("reading {url}")]
    Release {
        /// The file.
        url: Url,
        /// What is wrong with it.
        source: ReleaseError,
    },
    /// A suite's Release file is older than one that was seen before: a replay attack or a stale mirror.
    #[error(
        "{url}: it is dated {}, and {whence} {}: the mirror has gone back; try again later, pass another mirror with --mirror, or take it as it is with --allow-older",
        date(*dated), date(*seen)
    )]
    Older {
        /// The file.
        url: Url,
        /// Its date, in seconds since 1970.
        dated: i64,
        /// The newer date that is known, in seconds since 1970.
        seen: i64,
        /// The origin of that date, as a part of the message.
        whence: &'static str,
    },
    /// The suite has no such component.
    #[error("the suite {suite} has no component {component}, only {}{}", listed(known), hint(.nearest))]
    UnknownComponent {
        /// The suite.
        suite: String,
        /// The component.
        component: String,
        /// The components that it has.
        known: Vec<String>,
        /// The nearest component, if one is near enough.
        nearest: Option<String>,
    },
    /// The suite has no such architecture.
    #[error("the suite {suite} has no architecture {architecture}, only {}", listed(known))]
    UnknownArchitecture {
        /// The suite.
        suite: String,
        /// The architecture.
        architecture: String,
        /// The architectures that it has.
        known: Vec<String>,
    },
    /// The Release file lists no readable index of a component.
    #[error(
        "{url} lists no {path} in a form that can be read (.xz, .zst, .lzma, .gz or plain){}",
        if others.is_empty() { String::new() } else { format!(", only {}; the archive's owner must add one", others.join(", ")) }
    )]
    NoIndex {
        /// The directory of the Release file.
        url: Url,
        /// The index's path, without the suffix of its compression.
        path: String,
        /// Its listed forms that cannot be read.
        others: Vec<String>,
    },
    /// An index cannot be fetched or decompressed.
    #[error("{url}{}", mend(source))]
    Index {
        /// The index.
        url: Url,
        /// The cause.
        source: IndexError,
    },
    /// A package cannot be fetched.
    #[error("package {package}")]
    Package {
        /// The package and its version.
        package: String,
        /// The cause.
        source: Box<PackageError>,
    },
    /// The build is offline, and packages are not in the cache.
    #[error(
        "the build is offline, and the cache lacks {} package{}: {}; build once without --offline, or take what is missing \
         from an archive: applbuild archive import DIR",
        names.len(), if names.len() == 1 { "" } else { "s" }, some(.names)
    )]
    NotCached {
        /// The packages.
        names: Vec<String>,
    },
}

/// Why an index file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error(transparent)]
    Transfer(#[from] HttpError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("decompressing")]
    Corrupt { source: std::io::Error },
    #[error("it decompresses to more than the {expected} bytes that Release lists")]
    TooLarge { expected: u64 },
    #[error("it decompresses to more than {most} bytes, and Release does not list how many there are")]
    Endless { most: u64 },
    #[error("found the {found}, expected the {expected}")]
    Hash { expected: String, found: String },
    #[error("decompressed, found {found} and expected {expected}")]
    Plain { expected: String, found: String },
}

/// Why a package cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("its path")]
    Path(#[from] UrlError),
    #[error("{url}: found the SHA-512 {found}, expected {expected}")]
    Sha512 { url: Url, expected: String, found: String },
    #[error(transparent)]
    Transfer(#[from] HttpError),
    #[error("{url}")]
    Content { url: Url, source: CacheError },
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Advice for an index error. A failed transfer does not show that the mirror is inconsistent.
fn mend(error: &IndexError) -> &'static str {
    match error {
        IndexError::Cache(CacheError::Io { .. }) | IndexError::Transfer(HttpError::Offline { .. }) => "",
        IndexError::Transfer(HttpError::GaveUp { .. } | HttpError::Transport { .. } | HttpError::Status { .. }) => {
            " (try again later, or pass another mirror with --mirror)"
        }
        _ => " (the mirror is inconsistent: try again later, or pass another with --mirror)",
    }
}

/// Advice for a signature error caused by keys: those in the archive's own file, or those in the common keyring.
fn mend_keys(error: &SignatureError, archive: &str, own_key: &Option<String>) -> String {
    match own_key {
        _ if !error.is_of_keys() => String::new(),
        Some(file) => {
            format!(" (put the archive's current key into {file}, which archives.{archive}.key names in the profile)")
        }
        None => {
            format!(" (name the archive's key with archives.{archive}.key in the profile, or pass it with --keyring)")
        }
    }
}

/// All names, for a message.
fn listed(names: &[String]) -> String {
    if names.is_empty() { "an empty list of them".to_owned() } else { names.join(", ") }
}

/// The first few names and the number of the others, for a message.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 12;
    match names.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", names[..SHOWN].join(", ")),
        _ => names.join(", "),
    }
}

/// The last part of a message about an unknown name: the nearest name, if there is one.
pub(super) fn hint(name: &Option<String>) -> String {
    name.as_ref().map_or(String::new(), |name| format!("; did you mean {name}?"))
}
