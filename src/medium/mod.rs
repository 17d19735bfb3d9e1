//! What boots: the ISO with all that lies on it, and the folder of a guest's image.

pub mod checksums;
pub mod guest;
mod guests;
mod identity;
mod image;
pub mod iso;
mod patches;
mod record;
pub mod sbom;

pub use image::{Image, manifest_text};
pub use iso::{Guest, Input, Medium, MediumError, Root, lay_out, root_offset};
