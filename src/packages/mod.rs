//! From an archive's signature to verified package files: mirror, index,
//! resolver, lock, download, and the reader of `.deb` files.

pub mod dependency;
pub mod index;
pub mod lock;
pub mod resolver;
pub mod version;

pub use lock::{Lock, LockedPackage, LockedSuite};
