//! What boots: the ISO with all that lies on it.

pub mod checksums;
mod identity;
pub mod iso;
mod patches;
pub mod sbom;

pub use iso::{Input, Medium, MediumError, Root, lay_out};
