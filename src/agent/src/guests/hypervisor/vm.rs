//! A guest that runs: the program that runs it, its console, and how it is
//! asked to end.

use super::kvm::Monitor;
use super::xen::{self, Reason};
use crate::system::programs::Start;
use crate::system::world::World;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::Child;

/// How a guest ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    PoweredOff,
    /// It wants to be started again.
    Reset,
    Failed(String),
}

#[derive(Debug)]
pub struct Vm {
    /// xl or QEMU.
    pub child: Child,
    pub console: File,
    pub kind: Kind,
    /// What the guest's end was, where something said so before the program ended.
    pub end: Option<End>,
    /// The first error that the program told.
    pub complaint: Option<String>,
}

#[derive(Debug)]
pub enum Kind {
    Xen { domain: u32 },
    Kvm { monitor: Monitor },
}

impl Vm {
    pub fn ask_to_power_off(&mut self, world: &World<'_>, guest: &str) -> io::Result<()> {
        match &mut self.kind {
            Kind::Xen { .. } => xen::shutdown(world, guest),
            Kind::Kvm { monitor } => monitor.power_down(),
        }
    }

    /// Ends it at once.
    pub fn force(&mut self, world: &World<'_>, guest: &str) -> io::Result<()> {
        match &self.kind {
            Kind::Xen { .. } => xen::destroy(world, guest),
            Kind::Kvm { .. } => self.child.kill(),
        }
    }

    /// A line that xl or QEMU printed.
    pub fn said(&mut self, line: &str) {
        // xl explains itself in several lines, of which the first says why.
        if self.complaint.is_none() && line.contains("error:") {
            self.complaint = Some(line.to_owned());
        }
        if let (Kind::Xen { .. }, Some(reason)) = (&self.kind, xen::reason(line)) {
            self.end = Some(match reason {
                Reason::PowerOff => End::PoweredOff,
                Reason::Reboot => End::Reset,
                Reason::Crash => End::Failed("it crashed; its last words are on its console in the journal".to_owned()),
                Reason::Watchdog => End::Failed("its watchdog found it hanging".to_owned()),
                Reason::Other(code) => End::Failed(format!("it shut down for Xen's reason {code}")),
            });
        }
    }
}

/// Starts a program of the guest's with its outputs ready for reading without waiting.
pub fn start(world: &World<'_>, start: &Start<'_>) -> io::Result<Child> {
    let child = world.programs.start(start)?;
    if let Some(output) = &child.stdout {
        never_wait(output)?;
    }
    if let Some(output) = &child.stderr {
        never_wait(output)?;
    }
    Ok(child)
}

/// Makes reads and writes return when they would wait.
pub fn never_wait(file: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_truncate(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// What can be read now; `None` when nothing will come any more.
pub fn read_now(mut from: impl Read) -> Option<Vec<u8>> {
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

/// What a program that ended at its start complained of.
pub fn last_words(child: &mut Child) -> String {
    let mut text = String::new();
    for bytes in [child.stdout.as_mut().and_then(read_now), child.stderr.as_mut().and_then(read_now)] {
        text += &String::from_utf8_lossy(&bytes.unwrap_or_default());
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
