//! From an archive's signature to verified package files: mirror, index, resolver, lock, download, and the reader of
//! `.deb` files.

pub mod archive;
pub mod deb;
pub(crate) mod dependency;
pub(crate) mod error;
pub(crate) mod fetch;
pub mod lock;
pub mod resolver;
pub(crate) mod version;

pub use archive::keyring::Keyring;
pub use archive::locations::{ArchiveError, Archives, MirrorChoice};
pub use archive::refresh::{RefreshRequest, SuiteIndex, SuiteWanted, refresh};
pub use error::FetchError;
pub use fetch::credentials::Credentials;
pub use fetch::download::{are_here, download};
pub use fetch::http::{Client, Policy};
pub use lock::{Ids, Lock, LockedPackage, LockedSet, LockedSuite};
