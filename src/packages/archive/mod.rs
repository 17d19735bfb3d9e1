//! Package archives: their locations, keys, signatures and indices, and a local directory that is an archive.

mod apt_sources;
pub mod directory;
pub(crate) mod file_hash;
pub mod index;
pub mod inrelease;
pub(super) mod keyring;
pub(crate) mod locations;
pub(super) mod refresh;
pub mod release;
