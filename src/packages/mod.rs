//! From an archive's signature to verified package files: mirror, index,
//! resolver, lock, download, and the reader of `.deb` files.

pub mod lock;

pub use lock::{Lock, LockedPackage, LockedSuite};
