//! What systemd is told (sd_notify(3)).

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// systemd's ear, where it listens.
#[derive(Debug)]
pub struct Notify {
    to: Option<SocketAddr>,
}

impl Notify {
    /// By the value of `NOTIFY_SOCKET`: a path, or a name in the abstract space after `@`.
    pub fn new(socket: Option<&str>) -> io::Result<Self> {
        let to = match socket {
            None | Some("") => None,
            Some(name) => Some(match name.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name)?,
                None => SocketAddr::from_pathname(name)?,
            }),
        };
        Ok(Self { to })
    }

    fn send(&self, text: &str) {
        if let Some(to) = &self.to {
            // systemd that cannot be told is no reason to end a guest.
            let _ = UnixDatagram::unbound().and_then(|socket| socket.send_to_addr(text.as_bytes(), to));
        }
    }

    /// The unit has started (`READY=1`).
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// The unit's status line (`STATUS=`).
    pub fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", one_line(status)));
    }

    /// The unit is stopping (`STOPPING=1`).
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=asked to power off");
    }
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_hears_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::new(path.to_str()).unwrap();
        notify.ready("version 2\nruns");
        let mut buffer = [0; 200];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1\nSTATUS=version 2; runs");
        Notify::new(None).unwrap().status("nobody listens");
    }
}
