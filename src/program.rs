//! This very program, which carries the agent and so is an input of every image.

use appliance_contract::manifest::Program;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::OnceLock;

/// Its file. Not by name, under which another may have been put meanwhile.
pub const PATH: &str = "/proc/self/exe";

/// Starts it once more. By a descriptor: under valgrind, which counts what a build does, [`PATH`] is this program to
/// who opens it, and valgrind itself to who executes it.
pub fn command() -> Command {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    match FILE.get_or_init(|| File::open(PATH).ok()) {
        Some(file) => Command::new(format!("/proc/self/fd/{}", file.as_raw_fd())),
        None => Command::new(PATH),
    }
}

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
