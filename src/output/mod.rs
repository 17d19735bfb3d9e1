//! What boots: the ISO with all that lies on it, and the folder of a guest's image.

pub mod catalog;
pub mod guest;
mod image;
pub mod iso;
pub mod records;

pub use image::{Image, manifest_text};
pub use iso::{Guest, Input, Medium, MediumError, Root, lay_out, root_offset};
