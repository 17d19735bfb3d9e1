//! Archives: where they are, what they sign and list, and a directory that is one.

mod apt_sources;
pub mod directory;
pub(crate) mod file_hash;
pub mod index;
pub mod inrelease;
pub(super) mod keyring;
pub(crate) mod locations;
pub(super) mod refresh;
pub mod release;
