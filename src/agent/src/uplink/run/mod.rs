//! `appliance uplink`: the main process of `appliance-uplink.service`.

use super::cards::{self, BRIDGE, Look};
use super::choice::{Action, Choice};
use crate::system::atomic_file;
use crate::system::world::World;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

/// networkd keeps to it for the rest of the boot, also when the card goes and comes back.
const FILE: &str = "/run/systemd/network/70-appliance-uplink.network";
const NAME: &str = "Name=";

/// Why no card was set up.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum UplinkError {
    #[error("waiting for events of network cards: {0}")]
    Wait(io::Error),
    #[error("writing {path}, which configures {card}: {error}", path = path.display())]
    Write { path: PathBuf, card: String, error: io::Error },
    #[error("running {command}: {reason}")]
    Program { command: String, reason: String },
    #[error("saying what was done: {0}")]
    Say(io::Error),
}

impl From<io::Error> for UplinkError {
    fn from(error: io::Error) -> Self {
        Self::Say(error)
    }
}

/// What the loop needs besides the machine.
pub struct Setting<'a> {
    /// The node.
    pub world: &'a World<'a>,
    /// Returns at the next event, or after the time given.
    pub wait: &'a mut dyn FnMut(Option<Duration>) -> io::Result<()>,
    /// The time since any fixed moment.
    pub now: &'a dyn Fn() -> Duration,
    /// Where messages go.
    pub out: &'a mut dyn Write,
}

impl std::fmt::Debug for Setting<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting").finish_non_exhaustive()
    }
}

/// Ends once a card with a cable is in the bridge, or where the bridge is somebody else's.
pub fn run(setting: &mut Setting<'_>) -> Result<(), UplinkError> {
    let mut ours = chosen_before(setting.world);
    let mut choice = Choice::new(ours.clone());
    let mut told = false;
    loop {
        let view = match cards::look(setting.world, ours.as_deref()) {
            Look::Cards(view) => view,
            Look::Left(who) => {
                setting.say(&format!("{who}, so {BRIDGE} is left alone"))?;
                return Ok(());
            }
        };
        if view.cards.is_empty() && view.settled && !told {
            setting.say(&format!("there is no wired card yet, {BRIDGE} waits for one"))?;
            told = true;
        }
        let turn = choice.turn(&view, (setting.now)());
        for action in turn.actions {
            setting.act(&action)?;
            if let Action::Bridge { card, .. } = action {
                ours = Some(card);
            }
        }
        if turn.done {
            return Ok(());
        }
        (setting.wait)(turn.wait).map_err(UplinkError::Wait)?;
    }
}

/// The card that the file names: this is not the first run of this boot.
fn chosen_before(world: &World<'_>) -> Option<String> {
    let text = fs::read_to_string(world.at(FILE)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(NAME)).map(str::to_owned)
}

impl Setting<'_> {
    fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "appliance: network: {text}")?;
        self.out.flush()
    }

    fn act(&mut self, action: &Action) -> Result<(), UplinkError> {
        match action {
            // Without an address of its own: it would take what anybody in its network offers.
            Action::Raise(card) => self.try_ip(&["link", "set", "dev", card, "addrgenmode", "none", "up"]),
            Action::Lower(card) => self.try_ip(&["link", "set", "dev", card, "addrgenmode", "eui64", "down"]),
            Action::Bridge { card, cable, before } => {
                self.bridge(card, before.as_deref())?;
                let cable = if *cable { "" } else { "; it has no cable yet" };
                let instead = before.iter().map(|before| format!(" in the place of {before}, which has no cable"));
                self.say(&format!("{card} is in {BRIDGE}{}{cable}", instead.collect::<String>()))?;
                Ok(())
            }
        }
    }

    /// A card that cannot be set up is one without a cable: the next may do better.
    fn try_ip(&mut self, arguments: &[&str]) -> Result<(), UplinkError> {
        if let Err(error) = self.program("ip", arguments) {
            self.say(&error.to_string())?;
        }
        Ok(())
    }

    /// The old card leaves the bridge before the new one enters it. networkd puts a card back as long as it manages it.
    fn bridge(&mut self, card: &str, before: Option<&str>) -> Result<(), UplinkError> {
        if let Some(before) = before {
            self.configure(before, "[Link]\nUnmanaged=yes\n")?;
            let left = self.program("ip", &["link", "set", "dev", before, "nomaster"]);
            // One that was unplugged meanwhile has left it, too.
            if left.is_err() && self.world.at(format!("/sys/class/net/{before}")).exists() {
                return left;
            }
        }
        // That one of the bridge's ports is up does not make the host online.
        self.configure(
            card,
            &format!("[Network]\nBridge={BRIDGE}\nLinkLocalAddressing=no\n\n[Link]\nRequiredForOnline=no\n"),
        )
    }

    /// Gives networkd these settings of a card, and of no other.
    fn configure(&self, card: &str, settings: &str) -> Result<(), UplinkError> {
        let path = self.world.at(FILE);
        let failed = |error| UplinkError::Write { path: path.clone(), card: card.to_owned(), error };
        atomic_file::write(&path, format!("[Match]\n{NAME}{card}\n\n{settings}").as_bytes()).map_err(failed)?;
        self.program("networkctl", &["reload"]).inspect_err(|_| {
            // What networkd has not heard of counts as not chosen at the next start.
            let _ = fs::remove_file(&path);
        })
    }

    fn program(&self, program: &str, arguments: &[&str]) -> Result<(), UplinkError> {
        let command = || format!("{program} {}", arguments.join(" "));
        match self.world.programs.run(program, arguments) {
            Ok(output) if output.is_well() => Ok(()),
            Ok(output) => Err(UplinkError::Program { command: command(), reason: output.complaint() }),
            Err(error) => Err(UplinkError::Program { command: command(), reason: error.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests;
