//! Which of the devices found is the config partition: looks at what is known
//! of them and decides; opens nothing itself.

use crate::system::device_order;
use appliance_contract::boot_record::Refused as Refusal;
use appliance_contract::gpt_types;
pub use appliance_contract::guest_image::CONFIG_LABEL;
use appliance_contract::kernel_args::ConfigChoice;
use appliance_contract::marker::{FILE_NAME, Marker, NodeName, Role};
use appliance_shared::probe::{Contents, FileSystem, FileSystemKind};
use std::cmp::Ordering;

/// A block device that might hold the config.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The kernel's name without `/dev/`: `sda1`, `vda`, `sr0`.
    pub name: String,
    /// The disk that this is a partition of; `None` for a whole device.
    pub disk: Option<String>,
    pub removable: bool,
    /// On the disk that the image was opened from.
    pub boot_medium: bool,
    /// The GPT partition type, in lower case.
    pub partition_type: Option<String>,
    /// What a probe found, or why it could not read.
    pub contents: Result<Contents, String>,
    /// Where it is mounted, or what else holds it.
    pub in_use: Option<String>,
    pub marker: MarkerState,
}

/// What looking for the marker in an opened candidate gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MarkerState {
    #[default]
    NotOpened,
    /// The file system has no marker.
    None,
    /// Mounting it or reading the marker failed.
    Unreadable(String),
    /// The marker is there and does not parse: the schema, a key, the name.
    Invalid(String),
    Valid(Marker),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    Chosen {
        /// Into the candidates given.
        index: usize,
        /// Other candidates with a marker of the same node, in order.
        others: Vec<usize>,
        refusals: Vec<Refusal>,
    },
    None {
        refusals: Vec<Refusal>,
    },
    /// Markers of different nodes: each valid candidate and its node, in order.
    Ambiguous {
        nodes: Vec<(usize, NodeName)>,
        refusals: Vec<Refusal>,
    },
}

impl Candidate {
    /// For a message: the device, what is on it, and its names.
    pub fn describe(&self) -> String {
        let mut text = format!("/dev/{}", self.name);
        if let Ok(Contents::FileSystem(found)) = &self.contents {
            text += &format!(" ({}", found.kind);
            for (key, value) in [("UUID", &found.uuid), ("label", &found.label)] {
                if let Some(value) = value {
                    text += &format!(", {key} {value}");
                }
            }
            text.push(')');
        }
        text
    }

    fn file_system(&self) -> Option<&FileSystem> {
        match &self.contents {
            Ok(Contents::FileSystem(found)) => Some(found),
            _ => None,
        }
    }

    fn is_config_type(&self) -> bool {
        self.partition_type.as_deref() == Some(gpt_types::CONFIG)
    }

    /// Whether it is the disk that a host makes of a guest's config.
    fn is_served(&self) -> bool {
        let found =
            |found: &FileSystem| found.kind == FileSystemKind::Iso9660 && found.label.as_deref() == Some(CONFIG_LABEL);
        self.disk.is_none() && self.file_system().is_some_and(found)
    }

    fn matches(&self, choice: &ConfigChoice) -> bool {
        match choice {
            ConfigChoice::Auto => true,
            ConfigChoice::Path(path) => path.strip_prefix("/dev/").unwrap_or(path) == self.name,
            ConfigChoice::Uuid(uuid) => self
                .file_system()
                .and_then(|found| found.uuid.as_ref())
                .is_some_and(|found| found.eq_ignore_ascii_case(uuid)),
            ConfigChoice::Label(label) => self.file_system().and_then(|found| found.label.as_ref()) == Some(label),
        }
    }
}

fn choice_text(choice: &ConfigChoice) -> String {
    let value = match choice {
        ConfigChoice::Auto => "auto".to_owned(),
        ConfigChoice::Path(path) => path.clone(),
        ConfigChoice::Uuid(uuid) => format!("UUID={uuid}"),
        ConfigChoice::Label(label) => format!("LABEL={label}"),
    };
    format!("appliance.config={value}")
}

/// Fixed disks, the boot medium, other removables; in each partitions before
/// whole devices; then the natural order of names.
pub fn order(a: &Candidate, b: &Candidate) -> Ordering {
    let rank = |candidate: &Candidate| {
        let medium = match candidate {
            Candidate { boot_medium: true, .. } => 1,
            Candidate { removable: true, .. } => 2,
            _ => 0,
        };
        (medium, candidate.disk.is_none())
    };
    rank(a).cmp(&rank(b)).then_with(|| device_order::compare(&a.name, &b.name))
}

/// Whether `candidates[index]` may be opened to look for a marker; the reason when not.
pub fn may_open(candidates: &[Candidate], index: usize, choice: &ConfigChoice) -> Result<(), Refusal> {
    let candidate = &candidates[index];
    let refuse = |reason: String| Err(Refusal { device: format!("/dev/{}", candidate.name), reason });
    if !candidate.matches(choice) {
        return refuse(format!("it is not what {} names", choice_text(choice)));
    }
    let found = match &candidate.contents {
        Err(error) => return refuse(format!("it could not be read: {error}")),
        Ok(Contents::Member(member)) => return refuse(format!("it is {member}, which is not opened")),
        Ok(Contents::PartitionTable) => {
            return refuse("it is divided into partitions, each looked at by itself".into());
        }
        Ok(Contents::Empty) => return refuse("it is empty".into()),
        Ok(Contents::Unknown) => return refuse("no file system known to the agent is on it".into()),
        Ok(Contents::FileSystem(found)) => found,
    };
    if let Some(holder) = &candidate.in_use {
        return refuse(format!("it is in use: {holder}"));
    }
    if !found.kind.may_hold_config() {
        return refuse(format!("its file system is {}, expected ext4, vfat, xfs, btrfs or iso9660", found.kind));
    }
    if *choice != ConfigChoice::Auto {
        return Ok(());
    }
    let disk = candidate.disk.as_ref().and_then(|disk| candidates.iter().find(|other| other.name == *disk));
    if let Some(disk) = disk
        && let Ok(Contents::Member(member)) = &disk.contents
    {
        return refuse(format!("its disk /dev/{} is {member}; {} opens it anyway", disk.name, outright(candidate)));
    }
    if !candidate.is_config_type()
        && let Some(typed) = candidates.iter().find(|other| other.is_config_type())
    {
        return refuse(format!(
            "its partition type is not the config type, which /dev/{} has; {} opens it anyway",
            typed.name,
            outright(candidate)
        ));
    }
    Ok(())
}

fn outright(candidate: &Candidate) -> String {
    choice_text(&ConfigChoice::Path(format!("/dev/{}", candidate.name)))
}

/// Decides among candidates of which those that [`may_open`] allows were opened.
pub fn decide(candidates: &[Candidate], choice: &ConfigChoice, role: Role) -> Decision {
    let mut indexes: Vec<usize> = (0..candidates.len()).collect();
    indexes.sort_by(|&a, &b| order(&candidates[a], &candidates[b]));
    let mut refusals = Vec::new();
    let mut valid: Vec<(usize, &Marker)> = Vec::new();
    for index in indexes {
        if let Err(refusal) = may_open(candidates, index, choice) {
            refusals.push(refusal);
            continue;
        }
        match judge(&candidates[index], role) {
            Ok(marker) => valid.push((index, marker)),
            Err(reason) => refusals.push(Refusal { device: format!("/dev/{}", candidates[index].name), reason }),
        }
    }
    if role == Role::Guest
        && let Some(own) = valid.iter().find(|(index, _)| !candidates[*index].is_served()).map(|(index, _)| *index)
    {
        valid.retain(|(index, _)| {
            let served = candidates[*index].is_served();
            if served {
                let reason =
                    format!("the host serves it, and the guest's own /dev/{} has a marker", candidates[own].name);
                refusals.push(Refusal { device: format!("/dev/{}", candidates[*index].name), reason });
            }
            !served
        });
    }
    let Some(&(index, first)) = valid.first() else { return Decision::None { refusals } };
    if valid.iter().any(|(_, marker)| marker.node != first.node) {
        let nodes = valid.iter().map(|(index, marker)| (*index, marker.node.clone())).collect();
        return Decision::Ambiguous { nodes, refusals };
    }
    let others = valid[1..].iter().map(|(index, _)| *index).collect();
    Decision::Chosen { index, others, refusals }
}

fn judge(candidate: &Candidate, role: Role) -> Result<&Marker, String> {
    match &candidate.marker {
        MarkerState::NotOpened => Err("it was not opened yet".into()),
        MarkerState::None => Err(format!("no {FILE_NAME} is in the root of its file system")),
        MarkerState::Unreadable(error) => Err(format!("its {FILE_NAME} could not be read: {error}")),
        MarkerState::Invalid(error) => Err(format!("its {FILE_NAME} is not valid: {error}")),
        MarkerState::Valid(marker) if marker.role != role => {
            Err(format!("its {FILE_NAME} is for the role {}, expected {role} (node {})", marker.role, marker.node))
        }
        MarkerState::Valid(marker) => Ok(marker),
    }
}

impl Decision {
    /// Full lines for the console: what was decided, and all that was refused with its reason.
    pub fn lines(&self, candidates: &[Candidate]) -> Vec<String> {
        let mut lines = Vec::new();
        let refused = |refusals: &[Refusal]| -> Vec<String> {
            refusals.iter().map(|refusal| format!("{} refused: {}", refusal.device, refusal.reason)).collect()
        };
        match self {
            Self::Chosen { index, others, refusals } => {
                lines.extend(refused(refusals));
                let chosen = &candidates[*index];
                if let MarkerState::Valid(marker) = &chosen.marker {
                    let generation = marker.generation.as_ref().map(|text| format!(", generation {text}"));
                    lines.push(format!(
                        "config of node {}{} on {}",
                        marker.node,
                        generation.unwrap_or_default(),
                        chosen.describe()
                    ));
                }
                for &other in others {
                    lines.push(format!(
                        "{} has a marker of the same node too; the first is used",
                        candidates[other].describe()
                    ));
                }
            }
            Self::None { refusals } if refusals.is_empty() => {
                lines.push("no config partition: no block device was found".to_owned());
            }
            Self::None { refusals } => {
                lines.extend(refused(refusals));
                lines.push(format!("no config partition: none of {} devices has a marker to take", refusals.len()));
            }
            Self::Ambiguous { nodes, refusals } => {
                lines.extend(refused(refusals));
                for (index, node) in nodes {
                    lines.push(format!("{} has a marker of node {node}", candidates[*index].describe()));
                }
                lines.push(
                    "no config partition: there are markers of different nodes; remove one, or name one with \
                     appliance.config=UUID=… on the kernel command line"
                        .to_owned(),
                );
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests;
