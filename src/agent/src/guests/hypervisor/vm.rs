//! A running guest: the program that runs it, its console, and how it is stopped.

use super::End;
use super::kvm::Monitor;
use super::xen::{self, Reason};
use crate::system::nonblocking::{read_available, set_nonblocking};
use crate::system::programs::Start;
use crate::system::world::World;
use std::fs::File;
use std::io;
use std::process::Child;

/// A running guest.
#[derive(Debug)]
pub struct Vm {
    /// xl or QEMU.
    pub child: Child,
    /// The guest's console, for output and input.
    pub console: File,
    /// What is specific to its hypervisor.
    pub kind: Kind,
    /// How the guest ended, if that was reported before the program ended.
    pub end: Option<End>,
    /// The first error that the program printed.
    pub complaint: Option<String>,
}

/// What is specific to a hypervisor.
#[derive(Debug)]
pub enum Kind {
    /// A Xen domain.
    Xen {
        /// Its number.
        domain: u32,
    },
    /// A QEMU process.
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

    /// Kills the guest.
    pub fn force(&mut self, world: &World<'_>, guest: &str) -> io::Result<()> {
        match &self.kind {
            Kind::Xen { .. } => xen::destroy(world, guest),
            Kind::Kvm { .. } => self.child.kill(),
        }
    }

    /// Evaluates a line that xl or QEMU printed.
    pub fn said(&mut self, line: &str) {
        // xl prints several lines, of which the first has the cause.
        if self.complaint.is_none() && line.contains("error:") {
            self.complaint = Some(line.to_owned());
        }
        if let (Kind::Xen { .. }, Some(reason)) = (&self.kind, xen::reason(line)) {
            self.end = Some(match reason {
                Reason::PowerOff => End::PoweredOff,
                Reason::Reboot => End::Reset,
                Reason::Crash => End::Failed("it crashed; see its console in the journal".to_owned()),
                Reason::Watchdog => End::Failed("its watchdog expired".to_owned()),
                Reason::Other(code) => End::Failed(format!("it shut down with Xen's code {code}")),
            });
        }
    }
}

/// Starts a program with non-blocking output pipes.
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

/// The output of a program that ended at its start.
pub fn startup_output(child: &mut Child) -> String {
    let mut text = String::new();
    for bytes in [child.stdout.as_mut().and_then(read_available), child.stderr.as_mut().and_then(read_available)] {
        text += &String::from_utf8_lossy(&bytes.unwrap_or_default());
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
