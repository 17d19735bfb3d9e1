//! From an archive's signature to verified package files: mirror, index,
//! resolver, lock, download, and the reader of `.deb` files.

pub mod archive_folder;
pub mod archives;
pub mod cache;
pub mod credentials;
pub mod deb;
pub mod dependency;
mod digest;
pub mod download;
pub mod error;
mod hosts;
pub mod http;
pub mod index;
pub mod inrelease;
pub mod keyring;
pub mod lock;
mod proxy;
pub mod refresh;
pub mod release;
pub mod resolver;
pub mod sources;
#[cfg(test)]
mod test_keys;
#[cfg(test)]
mod test_server;
mod transfer;
pub mod url;
pub mod version;

pub use archives::{ArchiveError, Archives, MirrorChoice};
pub use cache::Cache;
pub use credentials::Credentials;
pub use digest::{Digest, Digest512, FileHash};
pub use download::{are_here, download};
pub use error::FetchError;
pub use http::Client;
pub use keyring::Keyring;
pub use lock::{Ids, Lock, LockedPackage, LockedSet, LockedSuite};
pub use refresh::{RefreshRequest, SuiteIndex, SuiteWanted, refresh};
