//! A guest that runs: the program that runs it, its console, and how it is
//! asked to end.

use super::End;
use super::kvm::Monitor;
use super::xen::{self, Reason};
use crate::system::nonblocking::{read_available, set_nonblocking};
use crate::system::programs::Start;
use crate::system::world::World;
use std::fs::File;
use std::io;
use std::process::Child;

/// A guest that runs.
#[derive(Debug)]
pub struct Vm {
    /// xl or QEMU.
    pub child: Child,
    /// What the guest prints, and where its input goes.
    pub console: File,
    /// Under what it runs.
    pub kind: Kind,
    /// What the guest's end was, where something said so before the program ended.
    pub end: Option<End>,
    /// The first error that the program told.
    pub complaint: Option<String>,
}

/// What is specific to a hypervisor.
#[derive(Debug)]
pub enum Kind {
    /// A domain.
    Xen {
        /// Its number.
        domain: u32,
    },
    /// A process of QEMU.
    Kvm {
        /// Its monitor.
        monitor: Monitor,
    },
}

impl Vm {
    /// Asks the guest to shut down.
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
        set_nonblocking(output)?;
    }
    if let Some(output) = &child.stderr {
        set_nonblocking(output)?;
    }
    Ok(child)
}

/// What a program that ended at its start complained of.
pub fn last_words(child: &mut Child) -> String {
    let mut text = String::new();
    for bytes in [child.stdout.as_mut().and_then(read_available), child.stderr.as_mut().and_then(read_available)] {
        text += &String::from_utf8_lossy(&bytes.unwrap_or_default());
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
