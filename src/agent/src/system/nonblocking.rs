//! Non-blocking reads of pipes, sockets and terminals.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io::{self, Read};
use std::os::fd::AsFd;

/// Makes reads and writes return when they would wait.
pub fn set_nonblocking(file: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_truncate(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// What can be read now; `None` when nothing will come any more.
pub fn read_available(mut from: impl Read) -> Option<Vec<u8>> {
    let mut buffer = [0; 8192];
    let mut found = Vec::new();
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return (!found.is_empty()).then_some(found),
            Ok(length) => {
                found.extend_from_slice(&buffer[..length]);
                // Whoever prints without end does not keep the others waiting.
                if found.len() > 1 << 20 {
                    return Some(found);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(found),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A terminal whose other end is closed says EIO.
            Err(_) => return (!found.is_empty()).then_some(found),
        }
    }
}
