//! What the builder and the agent agree on, and nothing else: names on media,
//! kernel arguments, and the schemas of the files that both read. No I/O.

#![warn(missing_docs)]

pub mod boot_record;
pub mod causes;
pub mod gpt_types;
pub mod guest;
pub mod guest_image;
pub mod initramfs;
#[cfg(feature = "schema")]
pub mod json_schema;
pub mod kernel_args;
pub mod local_etc;
pub mod manifest;
pub mod marker;
pub mod medium;
pub mod medium_record;
pub mod modes;
pub mod nearest;
pub mod readiness;
mod schema;
mod sha256;

pub use schema::{Schema, SchemaError};
pub use sha256::{Sha256, Sha256Error};
