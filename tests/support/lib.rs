//! Support code for the tests: the builder's unit tests, the integration tests and the agent's tests. Modules that need
//! the builder's types are behind the feature `builder`.

pub mod debs;
pub mod http_server;
pub mod judges;
pub mod keys;
pub mod mirror;
#[cfg(feature = "builder")]
pub mod namespace;
pub mod project;
#[cfg(feature = "builder")]
pub mod squashfs;
pub mod tar_sets;

use sha2::{Digest, Sha256, Sha512};
use std::path::PathBuf;

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// SHA-512 in hex.
pub fn sha512(bytes: &[u8]) -> String {
    hex::encode(Sha512::digest(bytes))
}

/// A directory for large files and files with extended attributes, which not every `/tmp` supports:
/// `CARGO_TARGET_TMPDIR`, or `tmp` next to the profile's directory in cargo's target directory.
pub fn target_tmp() -> PathBuf {
    std::env::var_os("CARGO_TARGET_TMPDIR").map_or_else(
        || {
            // The test programs are in TARGET/PROFILE/deps.
            let program = std::env::current_exe().unwrap();
            let tmp = program.ancestors().nth(3).unwrap().join("tmp");
            std::fs::create_dir_all(&tmp).unwrap();
            tmp
        },
        PathBuf::from,
    )
}
