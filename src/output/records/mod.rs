//! Records that describe an output: checksums, identity, bill of materials, manifest.

pub mod checksums;
pub(crate) mod identity;
pub mod sbom;
