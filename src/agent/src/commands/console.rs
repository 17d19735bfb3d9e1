//! `appliance guest console NAME`: a guest's console on this terminal.

use crate::guests::run_directory::place;
use crate::system::world::World;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{self, SetArg, Termios};
use std::io::{self, IsTerminal, Read, Stdin, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// Ctrl-], as telnet and xl have it.
const ESCAPE: u8 = 0x1d;

#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    #[error("its console is not there: {0}; it is while the guest runs")]
    NotThere(io::Error),
    #[error("its console: {0}")]
    Io(io::Error),
}

impl From<io::Error> for ConsoleError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The terminal's settings, put back at the end.
struct Raw<'a> {
    stdin: &'a Stdin,
    before: Termios,
}

impl<'a> Raw<'a> {
    fn new(stdin: &'a Stdin) -> io::Result<Option<Self>> {
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let before = termios::tcgetattr(stdin)?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(stdin, SetArg::TCSANOW, &raw)?;
        Ok(Some(Self { stdin, before }))
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        // A terminal that has gone needs no settings.
        let _ = termios::tcsetattr(self.stdin, SetArg::TCSANOW, &self.before);
    }
}

pub fn run(world: &World<'_>, guest: &str, out: &mut dyn Write) -> Result<(), ConsoleError> {
    let mut console = UnixStream::connect(place(world, guest, "console")).map_err(ConsoleError::NotThere)?;
    let stdin = io::stdin();
    if stdin.is_terminal() {
        writeln!(out, "the console of guest {guest}; Ctrl-] leaves it\r")?;
        out.flush()?;
    }
    let raw = Raw::new(&stdin)?;
    let mut typing = true;
    let mut buffer = [0; 4096];
    loop {
        let mut sources = vec![PollFd::new(console.as_fd(), PollFlags::POLLIN)];
        if typing {
            sources.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut sources, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let ready: Vec<bool> = sources.iter().map(|source| source.any().unwrap_or_default()).collect();
        if ready[0] {
            let length = console.read(&mut buffer)?;
            if length == 0 {
                drop(raw);
                writeln!(out, "\nthe console has ended")?;
                return Ok(());
            }
            out.write_all(&buffer[..length])?;
            out.flush()?;
        }
        if ready.get(1) == Some(&true) {
            let length = nix::unistd::read(&stdin, &mut buffer).map_err(io::Error::from)?;
            let typed = &buffer[..length];
            if length == 0 {
                // What follows is read to the console's end.
                typing = false;
            } else if let Some(at) = typed.iter().position(|&byte| byte == ESCAPE).filter(|_| raw.is_some()) {
                console.write_all(&typed[..at])?;
                drop(raw);
                writeln!(out)?;
                return Ok(());
            } else {
                console.write_all(typed)?;
            }
        }
    }
}
