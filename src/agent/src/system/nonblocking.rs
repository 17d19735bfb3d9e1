//! Non-blocking reads of pipes, sockets and terminals.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io::{self, Read};
use std::os::fd::AsFd;

/// Makes reads and writes fail with `WouldBlock` instead of waiting.
pub fn set_nonblocking(file: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_truncate(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Reads what is available now; `None` at the end of the file.
pub fn read_available(mut from: impl Read) -> Option<Vec<u8>> {
    let mut buffer = [0; 8192];
    let mut found = Vec::new();
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return (!found.is_empty()).then_some(found),
            Ok(length) => {
                found.extend_from_slice(&buffer[..length]);
                // A writer that never pauses must not starve the others.
                if found.len() > 1 << 20 {
                    return Some(found);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(found),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A terminal whose other end is closed returns EIO.
            Err(_) => return (!found.is_empty()).then_some(found),
        }
    }
}
