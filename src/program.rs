//! This very program, which carries the agent and so is an input of every image.

use appliance_contract::manifest::Program;
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::sync::OnceLock;

/// Its file. Not by name, under which another may have been put meanwhile.
pub const PATH: &str = "/proc/self/exe";

/// SHA-256 of its file, in hex; the file is read once.
pub fn sha256() -> io::Result<&'static str> {
    static KNOWN: OnceLock<String> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(known);
    }
    let hash = Sha256::digest(fs::read(PATH)?);
    Ok(KNOWN.get_or_init(|| hex::encode(hash)))
}

/// As a manifest names it.
pub fn described() -> io::Result<Program> {
    Ok(Program { version: env!("CARGO_PKG_VERSION").to_owned(), sha256: sha256()?.to_owned() })
}
