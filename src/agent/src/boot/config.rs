//! Step 4: the config partition, found without writing to any disk.

use super::blocks::{self, Block, Look};
use super::{Boot, BootError, devices, failed};
use crate::candidates::{Candidate, Decision, MarkerState, decide, may_open};
use crate::probe::FileSystemKind;
use appliance_contract::boot_record;
use appliance_contract::kernel_args::ConfigChoice;
use appliance_contract::marker::{self, Marker};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// How often drives that could not be read are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The config partition, mounted read-only.
#[derive(Debug)]
pub struct Config {
    pub block: Block,
    pub look: Look,
    pub kind: FileSystemKind,
    pub marker: Marker,
    others: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The reasons, a line each.
    #[error("{}", .0.join("\n"))]
    None(Vec<String>),
}

impl Config {
    pub fn record(&self) -> boot_record::Config {
        let found = self.look.file_system();
        boot_record::Config {
            device: format!("/dev/{}", self.block.name),
            file_system: self.kind.name().to_owned(),
            uuid: found.and_then(|found| found.uuid.clone()),
            label: found.and_then(|found| found.label.clone()),
            node: self.marker.node.to_string(),
            generation: self.marker.generation.clone(),
            others: self.others.clone(),
        }
    }
}

/// What a look at all devices gave.
#[derive(Debug)]
pub struct Found {
    pub candidates: Vec<Candidate>,
    pub decision: Decision,
    blocks: Vec<Block>,
    looks: Vec<Look>,
}

/// Looks at every device that may be opened, and decides. Leaves nothing
/// mounted and every device as it was.
pub fn look(boot: &mut Boot<'_>, boot_disk: Option<&str>) -> Result<Found, BootError> {
    let blocks = blocks::list(&boot.places);
    let looks = blocks::look(&blocks);
    let mut candidates: Vec<Candidate> = blocks
        .iter()
        .zip(&looks)
        .map(|(block, look)| Candidate {
            name: block.name.clone(),
            disk: block.partition.as_ref().map(|(disk, _)| disk.clone()),
            removable: block.removable,
            boot_medium: boot_disk == Some(block.disk()),
            partition_type: look.partition_type.clone(),
            contents: look.contents.clone(),
            in_use: block.in_use(),
            marker: MarkerState::NotOpened,
        })
        .collect();
    let folder = boot.places.ours().join("look");
    fs::create_dir_all(&folder).map_err(failed("making the folder", &folder))?;
    for index in 0..candidates.len() {
        if may_open(&candidates, index, &boot.args.config).is_ok()
            && let Some(found) = looks[index].file_system()
        {
            candidates[index].marker = read_marker(boot, &blocks[index], found.kind, &folder);
        }
    }
    // It stays where something is still mounted on it; an empty folder does no harm.
    let _ = fs::remove_dir(&folder);
    let decision = decide(&candidates, &boot.args.config, boot.args.role);
    Ok(Found { candidates, decision, blocks, looks })
}

/// Mounts one candidate, reads its marker, and leaves the device as it was.
fn read_marker(boot: &mut Boot<'_>, block: &Block, kind: FileSystemKind, folder: &Path) -> MarkerState {
    let unreadable = |doing: &str, error: io::Error| MarkerState::Unreadable(format!("{doing}: {error}"));
    let was = match boot.machine.is_read_only(&block.node) {
        Ok(was) => was,
        Err(error) => return unreadable("asking whether the device is read-only", error),
    };
    if let Err(error) = boot.machine.set_read_only(&block.node, true) {
        return unreadable("setting the device read-only", error);
    }
    let state = match boot.mount_for_look(&block.node, kind, folder) {
        Err(error) => unreadable(&format!("mounting the {kind} file system"), error),
        Ok(()) => {
            let state = marker_in(folder);
            match boot.machine.unmount(folder) {
                Ok(()) => state,
                Err(error) => unreadable("unmounting it again", error),
            }
        }
    };
    if !was && let Err(error) = boot.machine.set_read_only(&block.node, false) {
        return unreadable("setting the device writable again", error);
    }
    state
}

/// Reads the marker in a folder, never more than its bound.
fn marker_in(folder: &Path) -> MarkerState {
    let path = folder.join(marker::FILE_NAME);
    let stat = match fs::symlink_metadata(&path) {
        Ok(stat) => stat,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return MarkerState::None,
        Err(error) => return MarkerState::Unreadable(error.to_string()),
    };
    // A link could lead out of the file system, a device or fifo could block.
    if !stat.is_file() {
        return MarkerState::Invalid("it is no regular file".into());
    }
    let mut bytes = Vec::new();
    let read = fs::File::open(&path).and_then(|file| file.take(marker::MAX_SIZE + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return MarkerState::Unreadable(error.to_string());
    }
    if bytes.len() as u64 > marker::MAX_SIZE {
        return MarkerState::Invalid(format!("it is larger than {} bytes", marker::MAX_SIZE));
    }
    match String::from_utf8(bytes) {
        Err(_) => MarkerState::Invalid("it is not UTF-8 text".into()),
        Ok(text) => match Marker::parse(&text) {
            Ok(marker) => MarkerState::Valid(marker),
            // TOML's errors draw the place over several lines; a reason is one.
            Err(error) => MarkerState::Invalid(one_line(&error.to_string())),
        },
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Waits until the machine has settled (so that the order of arrival decides
/// nothing) and takes the config; goes on waiting while there is none, for
/// `appliance.timeout` seconds at most.
pub fn find(boot: &mut Boot<'_>) -> Result<(Config, String), BootError> {
    let boot_disk = boot.boot_disk.clone();
    let begun = boot.machine.uptime();
    let mut looked: Option<Found> = None;
    let mut looked_at = begun;
    let mut said = false;
    loop {
        let changed = boot.poll();
        let waited = boot.machine.uptime().saturating_sub(begun);
        let late = waited >= boot.args.timeout;
        // A drive that was there from the start may show its disc later: no device arrives then.
        let unreadable = |found: &Found| found.looks.iter().any(|look| look.contents.is_err());
        let again = boot.machine.uptime().saturating_sub(looked_at) >= LOOK_AGAIN;
        if changed || (again && looked.as_ref().is_some_and(unreadable)) {
            looked = None;
        }
        // One that was named outright need not wait for the others.
        let named = boot.args.config != ConfigChoice::Auto;
        if looked.is_none() && (late || boot.devices.settled(boot) || named) {
            looked_at = boot.machine.uptime();
            let found = look(boot, boot_disk.as_deref())?;
            match &found.decision {
                Decision::Chosen { .. } => return take(boot, found),
                Decision::Ambiguous { .. } => return Err(refuse(boot, &found)),
                Decision::None { .. } => looked = Some(found),
            }
        }
        if late && let Some(found) = &looked {
            return Err(refuse(boot, found));
        }
        if !said && looked.is_some() && boot.devices.settled(boot) {
            said = true;
            let left = boot.args.timeout.saturating_sub(waited).as_secs();
            boot.console
                .say(format!("config: none yet on {} devices, waiting {left} s for more", boot.devices.count().1));
        }
        boot.machine.sleep(devices::INTERVAL);
    }
}

fn refuse(boot: &mut Boot<'_>, found: &Found) -> BootError {
    boot.refused.clear();
    ConfigError::None(found.decision.lines(&found.candidates)).into()
}

fn take(boot: &mut Boot<'_>, mut found: Found) -> Result<(Config, String), BootError> {
    let lines = found.decision.lines(&found.candidates);
    let Decision::Chosen { index, others, refusals } = found.decision else {
        return Err(ConfigError::None(lines).into());
    };
    let candidate = found.candidates.swap_remove(index);
    let others: Vec<String> = others.iter().map(|&other| format!("/dev/{}", found.blocks[other].name)).collect();
    let (block, look) = (found.blocks.swap_remove(index), found.looks.swap_remove(index));
    let (Some(kind), MarkerState::Valid(marker)) = (look.file_system().map(|found| found.kind), candidate.marker)
    else {
        return Err(ConfigError::None(lines).into());
    };
    boot.machine
        .set_read_only(&block.node, true)
        .map_err(failed("setting the config's device read-only:", &block.node))?;
    let target = boot.places.config.clone();
    boot.mount_for_look(&block.node, kind, &target).map_err(failed("mounting the config partition", &block.node))?;
    boot.refused = refusals;
    if !others.is_empty() {
        boot.warn(format!(
            "{} also hold a config of node {}; /dev/{} is used",
            others.join(", "),
            marker.node,
            block.name
        ));
    }
    let generation = marker.generation.as_ref().map(|text| format!(", generation {text}")).unwrap_or_default();
    let line = format!("node {}{generation} on {}", marker.node, describe(&block, &look));
    Ok((Config { block, look, kind, marker, others }, line))
}

fn describe(block: &Block, look: &Look) -> String {
    let mut text = format!("/dev/{}", block.name);
    if let Some(found) = look.file_system() {
        text += &format!(" ({}", found.kind);
        if let Some(uuid) = &found.uuid {
            text += &format!(", UUID {uuid}");
        }
        if let Some(label) = &found.label {
            text += &format!(", label {label}");
        }
        text.push(')');
    }
    text
}

/// Undoes what a failed attempt left mounted.
pub fn close(boot: &mut Boot<'_>) {
    // Not mounted is as good.
    let _ = boot.machine.unmount(&boot.places.config);
}

/// For the time a shell is open: when devices arrive, look again and say what is there now.
pub fn watcher() -> impl FnMut(&mut Boot<'_>) {
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut started = false;
    let mut pending = false;
    move |boot| {
        let arrived = boot.poll();
        let now: BTreeSet<String> = blocks::list(&boot.places).into_iter().map(|block| block.name).collect();
        let fresh = started && now.difference(&known).next().is_some();
        known = now;
        started = true;
        pending |= fresh;
        if !pending || arrived || !boot.devices.settled(boot) {
            return;
        }
        pending = false;
        let boot_disk = boot.boot_disk.clone();
        if let Ok(found) = look(boot, boot_disk.as_deref())
            && let Decision::Chosen { index, .. } = found.decision
        {
            let candidate = found.candidates[index].describe();
            boot.console.say(format!("config: {candidate} has appeared; leave the shell (exit) to boot with it"));
        }
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
