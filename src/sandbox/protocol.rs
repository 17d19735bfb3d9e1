//! The protocol between the build and a sandbox's helper: a length and JSON, each way, over a socket that is the
//! helper's standard input.

use super::command::Exit;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// `argv[0]` of the process that writes the id maps of its parent.
pub const MAP_IDS: &str = "applbuild: id maps";
/// `argv[0]` of the process that makes the namespaces.
pub const SPAWN: &str = "applbuild: sandbox";
/// `argv[0]` of the process that is PID 1 in them.
pub const INIT: &str = "applbuild: sandbox init";

#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// PID 1 runs and dies with the build.
    Ready,
    Ended(Exit),
    Failed(String),
}

pub fn send(mut to: impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    to.write_all(&(bytes.len() as u64).to_le_bytes())?;
    to.write_all(&bytes)
}

/// The next message; `None` where the other side is gone.
pub fn receive<T: DeserializeOwned>(mut from: impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 8];
    match from.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    let mut bytes = Vec::new();
    let length = u64::from_le_bytes(length);
    if from.take(length).read_to_end(&mut bytes)? as u64 != length {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&bytes)?))
}
