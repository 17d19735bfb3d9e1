//! What there is to say of every guest now: from the config, its supervisor's
//! record, systemd, and the node's memory of its versions.

use super::definitions::lookup;
use super::definitions::{Checked, Guest};
use super::hypervisor::Hypervisor;
use super::start::checks::{self, CheckError};
use super::state::{State, StateError};
use super::status::{Failure, Phase, Record, is_supervised};
use super::unit::{self, REFUSED};
use crate::system::world::World;
use appliance_contract::guest::{Mode, Seconds};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// All that is known of one guest; with `--json`, these are the keys.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overview {
    /// The guest's name.
    pub name: String,
    /// Its unit of systemd.
    pub unit: String,
    /// `refused`, `not-started`, a phase's name, `failed`, `rests`, `ended`, `unsupervised`.
    pub state: String,
    /// Why its guest.toml was not taken.
    pub refused: Option<String>,
    /// What guest.toml asks for.
    pub wants: Option<String>,
    /// What happens when it ends.
    pub mode: Option<Mode>,
    /// What it runs or ran under.
    pub hypervisor: Option<Hypervisor>,
    /// Xen's number of it, while it runs.
    pub domain: Option<u32>,
    /// QEMU's process, while it runs.
    pub pid: Option<u32>,
    /// The image that it runs or ran.
    pub image: Option<String>,
    /// The version of the image.
    pub version: Option<String>,
    /// How often systemd restarted it.
    pub restarts: Option<u64>,
    /// Seconds since its start.
    pub uptime_s: Option<u64>,
    /// Whether it reported that it is ready.
    pub ready: bool,
    /// What `systemctl is-system-running` said in the guest.
    pub ready_state: Option<String>,
    /// The memory that guest.toml gives it.
    pub memory_mib: Option<u64>,
    /// The socket of its console.
    pub console: Option<PathBuf>,
    /// Why it failed the last time.
    pub last_failure: Option<Failure>,
    /// What its start had to say.
    pub notes: Vec<String>,
}

impl Overview {
    /// Neither refused nor failed.
    pub fn is_well(&self) -> bool {
        !matches!(self.state.as_str(), "refused" | "failed" | "rests" | "unsupervised")
    }
}

/// What keeps the node from starting or stopping any guest.
pub fn trouble(world: &World<'_>) -> Option<String> {
    let dead = Hypervisor::booted(world.root) == Hypervisor::Xen && checks::xenstored_is_dead(world);
    dead.then(|| CheckError::NoXenstore.to_string())
}

/// What systemd says of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Unit {
    active: String,
    result: String,
    /// The exit status of the last process.
    status: Option<u8>,
    restarts: Option<u64>,
}

impl Unit {
    /// Whether it has failed because it was started too often. systemd gives that
    /// as the result only where the last end was a good one.
    fn rests(&self, mode: Mode) -> bool {
        let ended_by_itself = self.status != Some(REFUSED) && self.result != "timeout";
        self.result == "start-limit-hit" || (mode == Mode::Respawn && ended_by_itself)
    }
}

/// All guests that the config lists, in order.
pub fn all(world: &World<'_>) -> io::Result<Vec<Overview>> {
    let all = lookup::all(world)?;
    let names: Vec<String> = all.iter().map(|one| unit::name(&one.folder)).collect();
    let units = units(world, &names);
    Ok(all.iter().zip(names).map(|(one, unit)| overview(world, one, unit, &units)).collect())
}

fn overview(world: &World<'_>, one: &Checked, name: String, units: &BTreeMap<String, Unit>) -> Overview {
    let guest = one.folder.to_string_lossy().into_owned();
    let unit = units.get(&name);
    let record = Record::load(world, &guest);
    let supervised = is_supervised(world, &guest);
    let refused = one.outcome.as_ref().err().cloned();
    let taken = one.outcome.as_ref().ok();
    let running = record.as_ref().filter(|record| supervised && record.has_its_own());
    let started = running.and_then(|record| record.started);
    Overview {
        state: state(unit, record.as_ref(), supervised, one.outcome.as_ref()).to_owned(),
        wants: taken.map(|guest| guest.config.image.to_string()),
        mode: taken.map(|guest| guest.config.mode),
        hypervisor: record.as_ref().and_then(|record| record.hypervisor),
        domain: running.and_then(|record| record.domain),
        pid: running.and_then(|record| record.pid),
        image: record.as_ref().and_then(|record| record.image.clone()),
        version: record.as_ref().and_then(|record| record.version.clone()),
        restarts: unit.and_then(|unit| unit.restarts),
        uptime_s: started.map(|started| world.now().saturating_sub(started)),
        ready: running.is_some_and(|record| record.ready.is_some()),
        ready_state: running.and_then(|record| record.ready_state.clone()),
        memory_mib: taken.map(|guest| guest.config.memory.mebibytes()),
        console: running.and_then(|record| record.console.clone()),
        last_failure: record.as_ref().and_then(|record| record.last_failure.clone()),
        notes: record.map(|record| record.notes).unwrap_or_default(),
        name: guest,
        unit: name,
        refused,
    }
}

fn state(
    unit: Option<&Unit>,
    record: Option<&Record>,
    supervised: bool,
    outcome: Result<&Guest, &String>,
) -> &'static str {
    let Ok(guest) = outcome else { return "refused" };
    if let (Some(record), true) = (record, supervised) {
        return record.phase.name();
    }
    match unit {
        Some(unit) if unit.active == "failed" => {
            return if unit.rests(guest.config.mode) { "rests" } else { "failed" };
        }
        _ => {}
    }
    match record.map(|record| record.phase) {
        None => "not-started",
        Some(Phase::Ended) => "ended",
        Some(Phase::Failed) => "failed",
        // Its supervisor is gone, and had not said that the guest is.
        Some(_) => "unsupervised",
    }
}

/// Asks systemd once for all. Where it cannot be asked, the records still tell.
fn units(world: &World<'_>, names: &[String]) -> BTreeMap<String, Unit> {
    if names.is_empty() {
        return BTreeMap::new();
    }
    let mut arguments = vec!["show", "--property=Id,ActiveState,Result,ExecMainStatus,NRestarts"];
    arguments.extend(names.iter().map(String::as_str));
    let Ok(output) = world.programs.run("systemctl", &arguments) else { return BTreeMap::new() };
    let mut units = BTreeMap::new();
    for block in output.stdout.split("\n\n") {
        let mut unit = Unit::default();
        let mut id = None;
        for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "Id" => id = Some(value.to_owned()),
                "ActiveState" => unit.active = value.to_owned(),
                "Result" => unit.result = value.to_owned(),
                "ExecMainStatus" => unit.status = value.parse().ok(),
                "NRestarts" => unit.restarts = value.parse().ok(),
                _ => {}
            }
        }
        units.extend(id.map(|id| (id, unit)));
    }
    units
}

/// The node's memory of a guest's versions, with what is to be had now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Versions {
    /// The version that an operator chose.
    pub chosen: Option<String>,
    /// The last version that got ready.
    pub good: Option<String>,
    /// The good version before that.
    pub before: Option<String>,
    /// Versions that did not get ready.
    pub failed: Vec<String>,
    /// Version and place of every image there is, the newest first.
    pub available: Vec<(String, String)>,
    /// Place of what is no valid image, and the reason.
    pub broken: Vec<(String, String)>,
    /// What happened, the oldest first.
    pub story: Vec<super::state::Event>,
    /// How long a version may take to get ready.
    pub ready_timeout: Seconds,
}

/// Reads the state of a guest and looks for its images.
pub fn versions(world: &World<'_>, guest: &Guest) -> Result<Versions, StateError> {
    let state = State::load(world, guest.name.as_str())?;
    let found = super::image::find(world, guest.config.image.name());
    Ok(Versions {
        chosen: state.chosen,
        good: state.good,
        before: state.before,
        failed: state.failed,
        available: found.images.iter().map(|image| (image.version().to_owned(), image.place.to_string())).collect(),
        broken: found.rejected.into_iter().map(|broken| (broken.place, broken.reason)).collect(),
        story: state.story,
        ready_timeout: guest.config.ready_timeout,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::status::supervise;
    use crate::guests::tests::Node;

    const UNITS: &str = "Result=success\nNRestarts=2\nId=appliance-guest@web.service\nActiveState=active\n\n\
        Result=exit-code\nExecMainStatus=1\nNRestarts=5\nId=appliance-guest@db.service\nActiveState=failed\n\n\
        Result=exit-code\nExecMainStatus=78\nId=appliance-guest@no.service\nActiveState=failed\n";

    #[test]
    fn every_guest_of_the_config_is_told() {
        let node = Node::new();
        let world = node.world();
        let toml = b"schema = 1\nimage = \"guest\"\nmemory = \"64M\"\n";
        for (name, text) in [("web", toml.as_slice()), ("db", toml), ("bad", b"x"), ("new", toml), ("no", toml)] {
            node.file(&format!("/config/local/domUs/{name}/guest.toml"), text);
        }
        node.programs.answer("systemctl show", 0, UNITS);
        let mut record = Record::new("web");
        record.phase = Phase::Ready;
        record.started = Some(world.now() - 60);
        record.ready = Some(world.now() - 30);
        record.domain = Some(3);
        record.save(&world).unwrap();
        Record { phase: Phase::Failed, guest: "db".into(), domain: None, ..record.clone() }.save(&world).unwrap();
        let lock = supervise(&world, "web").unwrap();
        let found = all(&world).unwrap();
        let states: Vec<(&str, &str)> = found.iter().map(|one| (one.name.as_str(), one.state.as_str())).collect();
        assert_eq!(
            states,
            [("bad", "refused"), ("db", "rests"), ("new", "not-started"), ("no", "failed"), ("web", "ready")]
        );
        assert!(found[0].refused.as_ref().is_some_and(|reason| reason.contains("domUs/bad/guest.toml: line 1")));
        let web = &found[4];
        assert_eq!((web.domain, web.uptime_s, web.restarts, web.ready), (Some(3), Some(60), Some(2), true));
        assert_eq!(web.unit, "appliance-guest@web.service");
        drop(lock);
        assert_eq!(all(&world).unwrap()[4].state, "unsupervised");
    }
}
