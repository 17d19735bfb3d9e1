//! Step 4, config: the config partition, found without writing to any disk.

pub mod choose;

use super::blocks::{Block, Look, Survey};
use super::lookout::{Lookout, Watch};
use super::{Boot, BootError, devices, failed};
use crate::system::files;
use appliance_contract::boot_record;
use appliance_contract::kernel_args::ConfigChoice;
use appliance_contract::marker::{self, Marker};
use appliance_shared::probe::FileSystemKind;
use choose::{Candidate, Decision, MarkerState, decide, may_open};
use std::fs;
use std::io;
use std::path::Path;

/// The config partition, mounted read-only.
#[derive(Debug)]
pub struct Config {
    pub block: Block,
    pub look: Look,
    pub kind: FileSystemKind,
    pub marker: Marker,
    pub(super) others: Vec<String>,
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
    survey: Survey,
}

/// Looks at every device that may be opened, and decides. Leaves nothing
/// mounted and every device as it was.
pub fn look(boot: &mut Boot<'_>, boot_disk: Option<&str>) -> Result<Found, BootError> {
    let survey = Survey::take(&boot.places);
    judge(boot, boot_disk, survey)
}

fn judge(boot: &mut Boot<'_>, boot_disk: Option<&str>, survey: Survey) -> Result<Found, BootError> {
    let mut candidates: Vec<Candidate> = survey
        .iter()
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
            && let Some(found) = survey.looks[index].file_system()
        {
            candidates[index].marker = read_marker(boot, &survey.blocks[index], found.kind, &folder);
        }
    }
    // It stays where something is still mounted on it; an empty folder does no harm.
    let _ = fs::remove_dir(&folder);
    let decision = decide(&candidates, &boot.args.config, boot.args.role);
    boot.seen = survey.describe();
    Ok(Found { candidates, decision, survey })
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
    let text = match files::read_text(&path, marker::MAX_SIZE) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return MarkerState::Invalid(error.to_string()),
        Err(error) => return MarkerState::Unreadable(error.to_string()),
    };
    match Marker::parse(&text) {
        Ok(marker) => MarkerState::Valid(marker),
        // TOML's errors draw the place over several lines; a reason is one.
        Err(error) => MarkerState::Invalid(one_line(&error.to_string())),
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
    let mut lookout = Lookout::default();
    let mut refused: Option<Found> = None;
    let mut said = false;
    loop {
        let due = lookout.is_due(boot);
        let waited = boot.machine.uptime().saturating_sub(begun);
        let late = waited >= boot.args.timeout;
        // One that was named outright need not wait for the others.
        let named = boot.args.config != ConfigChoice::Auto;
        if late || (due && (named || boot.devices.settled(boot))) {
            let survey = Survey::take(&boot.places);
            // A look inside mounts: only where a device is not what it was, and for the last time at the end.
            if late || refused.is_none() || boot.seen != survey.describe() {
                let found = judge(boot, boot_disk.as_deref(), survey)?;
                match &found.decision {
                    Decision::Chosen { .. } => return take(boot, found),
                    Decision::Ambiguous { .. } => return Err(refuse(boot, &found)),
                    Decision::None { .. } if late => return Err(refuse(boot, &found)),
                    Decision::None { .. } => refused = Some(found),
                }
            }
            lookout.looked(boot);
        }
        if !said && refused.is_some() && boot.devices.settled(boot) {
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
    let described = candidate.describe();
    let others: Vec<String> = others.iter().map(|&other| format!("/dev/{}", found.survey.blocks[other].name)).collect();
    let (block, look) = (found.survey.blocks.swap_remove(index), found.survey.looks.swap_remove(index));
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
    let line = format!("node {}{generation} on {described}", marker.node);
    Ok((Config { block, look, kind, marker, others }, line))
}

/// Undoes what a failed attempt left mounted.
pub fn close(boot: &mut Boot<'_>) {
    // Not mounted is as good.
    let _ = boot.machine.unmount(&boot.places.config);
}

/// For the time a shell is open: when devices arrive, look again and say what is there now.
pub fn watcher() -> impl FnMut(&mut Boot<'_>) {
    let mut watch = Watch::default();
    move |boot| {
        let Some(now) = watch.change(boot) else { return };
        let boot_disk = boot.boot_disk.clone();
        if let Ok(found) = judge(boot, boot_disk.as_deref(), now)
            && let Decision::Chosen { index, .. } = found.decision
        {
            let candidate = found.candidates[index].describe();
            boot.console.say(format!("config: {candidate} has appeared; leave the shell (exit) to boot with it"));
        }
    }
}

#[cfg(test)]
mod tests;
