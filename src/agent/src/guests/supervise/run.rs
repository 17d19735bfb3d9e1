//! `appliance guest run NAME`: the main process of a guest's unit.

use super::notify::Notify;
use super::ready::ReadyPort;
use super::watch::{Bounds, Listener, Outcome, Signals, Supervisor};
use crate::guests::definitions::Guest;
use crate::guests::definitions::lookup::{self, ConfigError};
use crate::guests::hypervisor::kvm;
use crate::guests::hypervisor::launch::{self, KvmOptions, LaunchError};
use crate::guests::hypervisor::vm::{Kind, Vm};
use crate::guests::hypervisor::{End, Hypervisor};
use crate::guests::run_directory::place;
use crate::guests::start::bridges;
use crate::guests::start::prepare::{PrepareError, Prepared, prepare};
use crate::guests::state::{State, StateError};
use crate::guests::status::{self, Failure, Phase, Record};
use crate::system::machine::Machine;
use crate::system::world::World;
use crate::uplink::events::Links;
use appliance_contract::guest::{GuestConfig, Mode};
use appliance_contract::medium::RUN_GUESTS;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// What a guest's unit fails with.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("guest {0} is supervised already; appliance guest show {0} tells by whom")]
    Supervised(String),
    #[error("{0}")]
    Ended(String),
    #[error("supervising the guest: {0}")]
    Io(io::Error),
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a supervisor works with.
pub struct Supervision<'a> {
    /// The node.
    pub world: &'a World<'a>,
    /// The kernel.
    pub machine: &'a dyn Machine,
    /// Signals that end the supervision.
    pub signals: &'a Signals,
    /// The socket of systemd.
    pub notify: &'a Notify,
}

impl std::fmt::Debug for Supervision<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervision").finish_non_exhaustive()
    }
}

/// Supervises `name` to its end. The error is the one line that the unit fails with.
pub fn run(supervision: &Supervision<'_>, name: &str, out: &mut dyn Write) -> Result<(), RunError> {
    let guest = lookup::load(supervision.world, name)?;
    let Some(_lock) = status::supervise(supervision.world, name)? else {
        return Err(RunError::Supervised(name.to_owned()));
    };
    if bridges::missing(supervision.world, &guest.config) {
        let mut links = Links::open()?;
        bridges::appear(supervision.world, &guest.config, bridges::BOUND, &mut |rest| links.wait(rest))?;
    }
    let last_failure = Record::load(supervision.world, name).and_then(|record| record.last_failure);
    let mut attempt = Attempt { supervision, guest: &guest, last_failure, out, told: false };
    loop {
        match attempt.once() {
            Ok(Next::Again(why)) => attempt.say(&why),
            Ok(Next::Done) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

enum Next {
    Done,
    /// At once, and why.
    Again(String),
}

struct Attempt<'a> {
    supervision: &'a Supervision<'a>,
    guest: &'a Guest,
    last_failure: Option<Failure>,
    out: &'a mut dyn Write,
    /// systemd was told that the unit has started.
    told: bool,
}

impl Attempt<'_> {
    fn name(&self) -> &str {
        self.guest.name.as_str()
    }

    fn say(&mut self, text: &str) {
        say(self.out, text);
    }

    /// One start of the guest and its end.
    fn once(&mut self) -> Result<Next, RunError> {
        let mut record = Record::new(self.name());
        record.last_failure = self.last_failure.take();
        let result = self.start_to_end(&mut record);
        match &result {
            Ok(_) if record.phase != Phase::Failed => record.phase = Phase::Ended,
            Ok(_) => {}
            Err(error) => {
                record.phase = Phase::Failed;
                record.last_failure = Some(Failure { at: self.supervision.world.now(), reason: error.to_string() });
            }
        }
        (record.domain, record.pid) = (None, None);
        self.last_failure = record.last_failure.clone();
        // The journal tells what the status cannot.
        if let Err(error) = record.save(self.supervision.world) {
            self.say(&format!("writing its status: {error}"));
        }
        result
    }

    fn start_to_end(&mut self, record: &mut Record) -> Result<Next, RunError> {
        let world = self.supervision.world;
        let mut state = State::load(world, self.name())?;
        let prepared = prepare(world, self.supervision.machine, self.guest, &state, record)?;
        for note in record.notes.clone() {
            self.say(&note);
        }
        let outcome = self.launch_and_watch(&prepared, &state, record);
        for device in &prepared.loops {
            self.supervision.machine.release_loop(device);
        }
        let version = prepared.image.manifest.version.clone();
        let outcome = match outcome {
            // What the hypervisor cannot even start may be the version's fault, as a crash may.
            Err(RunError::Launch(error)) if error.is_before_the_guest_ran() => {
                Outcome::Ended(End::Failed(error.to_string()))
            }
            outcome => outcome?,
        };
        self.conclude(outcome, &version, &mut state, record)
    }

    fn launch_and_watch(
        &mut self,
        prepared: &Prepared,
        state: &State,
        record: &mut Record,
    ) -> Result<Outcome, RunError> {
        let world = self.supervision.world;
        let name = self.name().to_owned();
        let (image, version) = (&prepared.image.manifest.name, &prepared.image.manifest.version);
        self.supervision.notify.status(&format!("starting image {image} {version}"));
        let (mut vm, network) = match prepared.hypervisor {
            Hypervisor::Xen => (launch::xen(world, &prepared.plan, &mut |text| say(self.out, text))?, None),
            Hypervisor::Kvm => {
                let options = kvm_options(world, &self.guest.config, &name);
                let (vm, network) = launch::kvm(world, &prepared.plan, options)?;
                (vm, Some(network))
            }
        };
        // What was staged is in the guest's memory by now.
        for file in [&prepared.plan.kernel, &prepared.plan.initramfs] {
            if file.starts_with(world.at(RUN_GUESTS)) {
                let _ = fs::remove_file(file);
            }
        }
        record.phase = Phase::Started;
        record.started = Some(world.now());
        match &vm.kind {
            Kind::Xen { domain } => record.domain = Some(*domain),
            Kind::Kvm { .. } => record.pid = Some(vm.child.id()),
        }
        let socket = place(world, &name, "console");
        record.console = Some(Path::new(RUN_GUESTS).join(&name).join("console"));
        let mut events = EventSink {
            world,
            notify: self.supervision.notify,
            config: &self.guest.config,
            version,
            stand_in: state.stand_in_for(version).filter(|_| self.guest.config.image.version().is_none()),
            record,
            out: self.out,
            told: &mut self.told,
        };
        events.started();
        let bounds = Bounds {
            ready: self.guest.config.ready_timeout.duration(),
            stop: self.guest.config.stop_timeout.duration(),
        };
        let ready_port =
            self.guest.config.ready_port.map(|port| ReadyPort::new(&name, &prepared.plan.cards, port.get()));
        let supervisor =
            Supervisor { world, guest: &name, signals: self.supervision.signals, bounds, ready_port, socket: &socket };
        let outcome = supervisor.watch(&mut vm, &mut events);
        self.clean(vm, outcome.is_err());
        if let Some(network) = network {
            network.remove(world);
        }
        // The next start makes it anew.
        let _ = fs::remove_file(&socket);
        Ok(outcome?)
    }

    /// Nothing of the guest stays behind, whatever happened to its supervision.
    fn clean(&mut self, mut vm: Vm, failed: bool) {
        if failed && let Err(error) = vm.force(self.supervision.world, self.guest.name.as_str()) {
            say(self.out, &format!("ending it: {error}"));
        }
        // It has ended or was killed; its status is collected so that it is no zombie.
        let _ = vm.child.kill();
        let _ = vm.child.wait();
        if matches!(vm.kind, Kind::Xen { .. })
            && let Err(error) =
                crate::guests::hypervisor::xen::destroy(self.supervision.world, self.guest.name.as_str())
        {
            say(self.out, &format!("making sure that its domain is gone: {error}"));
        }
    }

    /// What the end means: for the unit, and for the version that ran.
    fn conclude(
        &mut self,
        outcome: Outcome,
        version: &str,
        state: &mut State,
        record: &mut Record,
    ) -> Result<Next, RunError> {
        let world = self.supervision.world;
        let was_ready = record.ready.is_some();
        let reason = match outcome {
            Outcome::Stopped => return Ok(Next::Done),
            Outcome::Ended(End::PoweredOff) => {
                // A unit that has not said that it started would have failed.
                self.supervision.notify.ready("it has powered off by itself");
                return Ok(Next::Done);
            }
            Outcome::Ended(End::Reset) if was_ready => return Ok(Next::Again("it starts anew".to_owned())),
            Outcome::Ended(End::Reset) => "started anew before it was ready".to_owned(),
            Outcome::Ended(End::Failed(reason)) if was_ready => return Err(RunError::Ended(reason)),
            Outcome::Ended(End::Failed(reason)) => format!("failed before it was ready ({reason})"),
            Outcome::NotReady(why) => {
                format!("was not ready within {} s ({why})", self.guest.config.ready_timeout.get())
            }
        };
        let goes_back = self.guest.config.image.version().is_none();
        // Read anew: an operator may have chosen meanwhile.
        *state = State::load(world, self.name())?;
        match state.stand_in_for(version).filter(|_| goes_back).map(str::to_owned) {
            Some(good) => {
                state.go_back(version, &reason, world.now());
                state.save(world, self.name())?;
                let text = format!("version {version} {reason}: going back to version {good}");
                record.phase = Phase::Failed;
                record.last_failure = Some(Failure { at: world.now(), reason: text.clone() });
                Ok(Next::Again(text))
            }
            None => Err(RunError::Ended(format!("version {version} {reason}"))),
        }
    }
}

fn kvm_options(world: &World<'_>, config: &GuestConfig, name: &str) -> KvmOptions {
    let position = lookup::names(world).iter().position(|other| other == name).unwrap_or_default();
    KvmOptions {
        machine: config.machine,
        accel: config.accel,
        user: kvm::FIRST_USER + u32::try_from(position).unwrap_or_default(),
    }
}

/// Our own words stand apart from the guest's: the journal has both.
fn say(out: &mut dyn Write, text: &str) {
    // Nothing is left to tell it to when this fails.
    let _ = writeln!(out, "appliance: {text}").and_then(|()| out.flush());
}

/// Hears what happens to the guest, and tells systemd, the status and the journal.
struct EventSink<'a> {
    world: &'a World<'a>,
    notify: &'a Notify,
    config: &'a GuestConfig,
    version: &'a str,
    /// The version that would be gone back to.
    stand_in: Option<&'a str>,
    record: &'a mut Record,
    out: &'a mut dyn Write,
    told: &'a mut bool,
}

impl EventSink<'_> {
    fn save(&mut self) {
        if let Err(error) = self.record.save(self.world) {
            say(self.out, &format!("writing its status: {error}"));
        }
    }

    fn tell_ready(&mut self, status: &str) {
        if *self.told {
            self.notify.status(status);
        } else {
            *self.told = true;
            self.notify.ready(status);
        }
    }

    fn started(&mut self) {
        self.save();
        let status = format!("version {} runs and is not ready yet", self.version);
        // What comes after a guest of mode `wait` waits until it is ready.
        if self.config.mode == Mode::Wait {
            self.notify.status(&status);
        } else {
            self.tell_ready(&status);
        }
        if let Some(good) = self.stand_in {
            say(self.out, &format!("version {} is on trial: version {good} is the last good one", self.version));
        }
    }
}

impl Listener for EventSink<'_> {
    fn console(&mut self, line: &str) {
        // A guest's line is never taken for ours, nor its beginning for a priority (sd-daemon(3)).
        let _ = writeln!(self.out, "console: {line}").and_then(|()| self.out.flush());
    }

    fn program(&mut self, line: &str) {
        say(self.out, line);
    }

    fn note(&mut self, text: &str) {
        say(self.out, text);
    }

    fn ready(&mut self, state: &str) {
        self.record.phase = Phase::Ready;
        self.record.ready = Some(self.world.now());
        self.record.ready_state = Some(state.to_owned());
        self.save();
        self.tell_ready(&format!("version {} is ready ({state})", self.version));
        say(self.out, &format!("version {} is ready ({state})", self.version));
        let kept = State::load(self.world, &self.record.guest).and_then(|mut known| {
            let changed = known.got_ready(self.version, self.world.now());
            if changed { known.save(self.world, &self.record.guest) } else { Ok(()) }
        });
        if let Err(error) = kept {
            say(self.out, &error.to_string());
        }
    }

    fn stopping(&mut self) {
        self.record.phase = Phase::Stopping;
        self.save();
        self.notify.stopping();
        say(self.out, "asking it to power off");
    }

    fn late(&mut self, why: &str) -> bool {
        let seconds = self.config.ready_timeout.get();
        if self.stand_in.is_some() || self.config.mode == Mode::Wait {
            say(self.out, &format!("it was not ready within {seconds} s ({why}): it is ended"));
            return true;
        }
        let text = format!("it was not ready within {seconds} s ({why}); it goes on running");
        self.record.notes.push(text.clone());
        self.save();
        self.tell_ready(&text);
        say(self.out, &text);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::tests::World as MadeUpMachine;
    use crate::guests::image::tests::store;
    use crate::guests::tests::Node;

    /// Runs the guest `web` under Xen where every domain fails at its start.
    fn run_web(node: &Node) -> (String, State) {
        node.file("/sys/hypervisor/type", b"xen\n");
        node.file("/usr/share/appliance/templates/xl.cfg.hbs", b"name = \"{{name}}\"\n");
        node.programs.answer("timeout 30 xl info free_memory", 0, "1000\n");
        node.programs.answer("timeout 30 xl info virt_caps", 0, "pv\n");
        node.programs.answer("timeout 30 xl domid", 1, "");
        node.programs.answer("timeout 30 xl destroy", 0, "");
        node.programs.start_in_place_of("xl", "false");
        let supervision = Supervision {
            world: &node.world(),
            machine: &MadeUpMachine::new(),
            signals: &Signals::catch().unwrap(),
            notify: &Notify::new(None).unwrap(),
        };
        let error = run(&supervision, "web", &mut Vec::new()).unwrap_err().to_string();
        (error, State::load(&node.world(), "web").unwrap())
    }

    #[test]
    fn a_version_that_cannot_even_be_started_goes_back_and_the_last_good_one_does_not() {
        let node = Node::new();
        let config = "schema = 1\nimage = \"guest\"\nmemory = \"64M\"\n";
        node.file("/config/local/domUs/web/guest.toml", config.as_bytes());
        store(&node, "guest", "1");
        store(&node, "guest", "2");
        let mut state = State::default();
        state.got_ready("1", 10);
        state.save(&node.world(), "web").unwrap();
        let (error, state) = run_web(&node);
        assert!(error.starts_with("version 1 failed before it was ready (xl ended before the guest ran"), "{error}");
        assert_eq!((state.chosen.as_deref(), state.failed.as_slice()), (Some("1"), ["2".to_owned()].as_slice()));
        let story = &state.story.last().unwrap().text;
        assert!(story.starts_with("version 2 failed before it was ready (xl ended"), "{story}");
        // One that guest.toml pins is all it takes.
        let pinned = config.replace("guest", "guest@2");
        node.file("/config/local/domUs/web/guest.toml", pinned.as_bytes());
        let (error, state) = run_web(&node);
        assert!(error.starts_with("version 2 failed before it was ready"), "{error}");
        assert_eq!(state.story.len(), 2);
    }
}
