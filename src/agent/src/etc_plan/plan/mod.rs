//! Decides what the layer of `/etc` holds. Pure: it sees the image and the config
//! through [`View`] alone.

mod units;

use super::owners::Owners;
use super::view::{Attributes, View};
use appliance_contract::boot_record::Refused;
use appliance_contract::marker::Marker;
use appliance_contract::modes::Modes;
use appliance_shared::local_etc::{Entry, Kind, Source};
use std::collections::BTreeMap;

/// Where there is nothing to go by.
const FOLDER: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };
const FILE_MODE: u32 = 0o644;
const PRIVATE: u32 = 0o600;

/// All that a plan depends on.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The files of `local/etc`.
    pub source: &'a Source,
    /// Whether the config's file system keeps modes (FAT does not).
    pub has_modes: bool,
    /// The marker, with units to enable and mask, and links.
    pub marker: &'a Marker,
    /// `local/modes`.
    pub modes: &'a Modes,
    /// The image's root.
    pub image: &'a dyn View,
    /// The config's `local/`.
    pub local: &'a dyn View,
    /// The config's `global/`.
    pub global: &'a dyn View,
}

impl std::fmt::Debug for Inputs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inputs")
            .field("marker", self.marker)
            .field("has_modes", &self.has_modes)
            .finish_non_exhaustive()
    }
}

/// The layer to lay over the image's `/etc`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// By path relative to `/etc`; the first is `/etc` itself, and a folder comes before what is in it.
    pub steps: BTreeMap<String, Step>,
    /// What was left out, and why.
    pub dropped: Vec<Refused>,
    /// Paths that became links into `/config/global`.
    pub global_links: Vec<String>,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// Number of files.
    pub files: u64,
    /// Their sizes, added up.
    pub bytes: u64,
}

/// One entry of the layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Kind and content.
    pub what: What,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A directory.
    Folder,
    /// Copied from the same path in the source.
    File {
        /// In bytes.
        size: u64,
    },
    /// A symbolic link.
    Link {
        /// Where the link points.
        target: String,
    },
}

/// Decides all of it; never fails, but drops with a reason what cannot be.
pub fn plan(inputs: &Inputs<'_>) -> Plan {
    let both = |path: &str| [inputs.local, inputs.image].iter().filter_map(|view| view.read(path)).collect();
    let owners = Owners { passwd: both("etc/passwd"), group: both("etc/group") };
    let mut planner = Planner { inputs: *inputs, owners, plan: Plan::default() };
    planner.plan.dropped = inputs.source.dropped.clone();
    let root = planner.folder_step("", None);
    planner.plan.steps.insert(String::new(), root);
    for entry in &inputs.source.entries {
        planner.entry(entry);
    }
    planner.unused_modes();
    for unit in &inputs.marker.enable {
        units::enable(&mut planner, unit);
    }
    for unit in &inputs.marker.mask {
        units::mask(&mut planner, unit);
    }
    for (path, target) in &inputs.marker.links {
        match in_etc(path) {
            Some(relative) if !target.is_empty() && !target.contains('\0') => planner.link(relative, target, "links"),
            Some(_) => planner.refuse(&format!("links {path}"), "its target is empty"),
            None => planner.refuse(&format!("links {path}"), NOT_IN_ETC),
        }
    }
    for path in &inputs.marker.global_links {
        planner.global_link(path);
    }
    planner.plan
}

const NOT_IN_ETC: &str = "expected a path below /etc, without . and ..";

/// The path relative to `/etc`.
fn in_etc(path: &str) -> Option<&str> {
    let relative = path.strip_prefix("/etc/")?;
    let plain = relative.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'));
    plain.then_some(relative)
}

pub(super) struct Planner<'a> {
    pub inputs: Inputs<'a>,
    owners: Owners,
    plan: Plan,
}

impl Planner<'_> {
    pub fn refuse(&mut self, what: &str, reason: &str) {
        self.plan.dropped.push(Refused { device: what.to_owned(), reason: reason.to_owned() });
    }

    fn entry(&mut self, entry: &Entry) {
        let Entry { path, kind, .. } = entry;
        let name = format!("local/etc/{path}");
        for attribute in entry.attributes.iter().filter(|name| is_foreign(name)) {
            self.refuse(&name, &format!("its attribute {attribute} is left out"));
        }
        let step = match kind {
            Kind::Other(what) => return self.refuse(&name, &format!("it is {what}")),
            Kind::Folder => {
                let exists = self.inputs.image.exists(&format!("etc/{path}"));
                if exists && self.inputs.image.folder(&format!("etc/{path}")).is_none() {
                    self.plan
                        .warnings
                        .push(format!("/etc/{path} is a folder in the config and hides the image's file or link"));
                }
                self.folder_step(path, Some(entry.mode))
            }
            Kind::File { size } => {
                self.plan.files += 1;
                self.plan.bytes += size;
                self.hides_folder(path);
                let mode = if self.inputs.has_modes { entry.mode } else { FILE_MODE };
                let own = Attributes { mode: if is_host_key(path) { PRIVATE } else { mode }, uid: 0, gid: 0 };
                self.owned(path, own, What::File { size: *size })
            }
            Kind::Link { target } => {
                self.hides_folder(path);
                self.owned(path, Attributes { mode: 0o777, uid: 0, gid: 0 }, What::Link { target: target.clone() })
            }
        };
        self.plan.steps.insert(path.clone(), step);
    }

    fn hides_folder(&mut self, path: &str) {
        if self.inputs.image.folder(&format!("etc/{path}")).is_some() {
            self.plan.warnings.push(format!("/etc/{path} is no folder in the config and hides the image's folder"));
        }
    }

    /// A folder that the image has keeps the image's attributes.
    fn folder_step(&mut self, path: &str, own_mode: Option<u32>) -> Step {
        let etc_path = if path.is_empty() { "etc".to_owned() } else { format!("etc/{path}") };
        let own_mode = own_mode.filter(|_| self.inputs.has_modes).unwrap_or(FOLDER.mode);
        let attributes = self.inputs.image.folder(&etc_path).unwrap_or(Attributes { mode: own_mode, ..FOLDER });
        self.owned(path, attributes, What::Folder)
    }

    /// Lets `modes` have the last word.
    fn owned(&mut self, path: &str, own: Attributes, what: What) -> Step {
        let mut step = Step { what, mode: own.mode, uid: own.uid, gid: own.gid };
        let local_path = if path.is_empty() { "etc".to_owned() } else { format!("etc/{path}") };
        let Some(said) = self.inputs.modes.get(&local_path) else { return step };
        // A link's own mode means nothing (symlink(7)).
        if let Some(mode) = said.mode.filter(|_| !matches!(step.what, What::Link { .. })) {
            step.mode = mode;
        }
        match self.owners.resolve(said) {
            Ok((uid, gid)) => (step.uid, step.gid) = (uid, gid),
            Err(reason) => self.plan.warnings.push(format!("/{local_path} stays root's: local/modes: {reason}")),
        }
        step
    }

    /// A line for one path that is not there is likely a slip, and may leave a secret readable under another name.
    fn unused_modes(&mut self) {
        for entry in self.inputs.modes.entries() {
            let Some(path) = entry.path().strip_prefix("etc/") else { continue };
            if !self.plan.steps.contains_key(path) {
                self.plan.warnings.push(format!("local/modes names {}, which is not in the config", entry.path()));
            }
        }
    }

    /// Adds a link that the marker asks for, with the folders above it.
    pub fn link(&mut self, path: &str, target: &str, asked_by: &str) {
        let place = format!("{asked_by} /etc/{path}");
        let mut missing = Vec::new();
        for (end, _) in path.match_indices('/') {
            let parent = &path[..end];
            match self.plan.steps.get(parent) {
                Some(Step { what: What::Folder, .. }) => {}
                Some(_) => return self.refuse(&place, &format!("/etc/{parent} is no folder in the config")),
                None => {
                    let in_image = format!("etc/{parent}");
                    if self.inputs.image.exists(&in_image) && self.inputs.image.folder(&in_image).is_none() {
                        return self.refuse(&place, &format!("/etc/{parent} is no folder in the image"));
                    }
                    missing.push(parent);
                }
            }
        }
        match self.plan.steps.get(path).map(|step| &step.what) {
            Some(What::Folder) => return self.refuse(&place, "the config has a folder there"),
            Some(What::File { size }) => {
                self.plan.files -= 1;
                self.plan.bytes -= size;
                self.plan.warnings.push(format!("/etc/{path} of the config is hidden by the marker's {asked_by}"));
            }
            Some(What::Link { .. }) | None => {}
        }
        for parent in missing {
            let step = self.folder_step(parent, None);
            self.plan.steps.insert(parent.to_owned(), step);
        }
        let step = Step { what: What::Link { target: target.to_owned() }, mode: 0o777, uid: 0, gid: 0 };
        self.plan.steps.insert(path.to_owned(), step);
    }

    fn global_link(&mut self, path: &str) {
        let Some(relative) = in_etc(path) else {
            return self.refuse(&format!("global-links {path}"), NOT_IN_ETC);
        };
        if !self.inputs.global.exists(relative) {
            return;
        }
        let target = format!("{}/global/{relative}", appliance_contract::medium::CONFIG_MOUNT);
        let refused = self.plan.dropped.len();
        self.link(relative, &target, "global-links");
        if self.plan.dropped.len() == refused {
            self.plan.global_links.push(path.to_owned());
        }
    }
}

/// sshd refuses a private host key that others may read, and FAT and git cannot say so.
fn is_host_key(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.starts_with("ssh_host_") && name.ends_with("_key")
}

/// Attributes that steer an overlay or belong to the kernel. No attribute is copied; these deserve a line.
fn is_foreign(name: &str) -> bool {
    name.starts_with("trusted.") || name.starts_with("user.overlay.") || name == "security.capability"
}
