//! Archives: where they are, what they sign and list, and a directory that is one.

mod apt_sources;
pub mod directory;
pub mod index;
pub mod inrelease;
pub mod keyring;
pub mod locations;
pub mod refresh;
pub mod release;
