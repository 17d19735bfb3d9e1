//! What PID 1 does between the kernel and systemd, one file a step.
//!
//! A step that fails says what it wanted, where it looked, what it found and
//! what it expected; then the operator (or `appliance.on-missing`) has the
//! word, and the step is done again. Nothing goes on half made.

mod blocks;
mod check;
mod config;
pub mod console;
mod devices;
mod etc;
mod fill;
mod handover;
mod identity;
mod kernel;
mod lookout;
pub mod modules;
mod operator;
mod root;
pub mod shell;
pub mod timeline;
mod var;
mod var_disk;
mod volume;

#[cfg(test)]
pub(crate) mod tests;

pub use blocks::describe_all as describe_blocks;
pub use config::look as look_for_config;
pub use devices::Devices;
pub use handover::empty_initramfs;
pub use kernel::{Kernel, mount_all};
pub use root::{RootError, damage};

use crate::system::machine::{Machine, Places, Shell};
use appliance_contract::Schema;
use appliance_contract::boot_record::{BootRecord, Refused};
use appliance_contract::initramfs::ModuleIndex;
use appliance_contract::kernel_args::{Action, KernelArgs};
use blocks::Survey;
use console::Console;
use modules::Modules;
use std::io;
use std::path::{Path, PathBuf};
use timeline::Timeline;

/// The steps of a boot, in their order. ARCHITECTURE.md has the same list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The kernel's file systems, and its arguments.
    Kernel = 1,
    /// Drivers, and the block devices that follow; goes on during all later steps.
    Devices,
    /// The root image.
    Root,
    /// The config partition.
    Config,
    /// The config's files as a layer of `/etc`.
    Etc,
    /// Machine ID and host name.
    Identity,
    /// The layers of `/etc`, mounted.
    Overlay,
    /// `/var`.
    Var,
    /// The boot record, and the mounts moved into the root.
    Handover,
}

impl Step {
    /// All steps, the first with number 1.
    pub const ALL: [Self; 9] = [
        Self::Kernel,
        Self::Devices,
        Self::Root,
        Self::Config,
        Self::Etc,
        Self::Identity,
        Self::Overlay,
        Self::Var,
        Self::Handover,
    ];

    /// As messages and the boot record call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Devices => "devices",
            Self::Root => "root",
            Self::Config => "config",
            Self::Etc => "etc",
            Self::Identity => "identity",
            Self::Overlay => "overlay",
            Self::Var => "var",
            Self::Handover => "handover",
        }
    }
}

/// The boot's world and what it has gathered so far.
#[derive(Debug)]
pub struct Boot<'a> {
    /// The kernel, or a made-up one.
    pub machine: &'a dyn Machine,
    /// Where the file systems of the boot lie.
    pub places: Places,
    /// Where messages go.
    pub console: &'a Console,
    /// The kernel's arguments.
    pub args: KernelArgs,
    /// Which modules there are.
    pub index: &'a ModuleIndex,
    /// Which modules are loaded.
    pub modules: Modules<'a>,
    devices: Devices,
    timeline: Timeline,
    warnings: Vec<String>,
    refused: Vec<Refused>,
    /// The disk that the root image came from.
    boot_disk: Option<String>,
    /// The devices as the step that failed saw them last: who waits is told what differs.
    seen: Vec<String>,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum BootError {
    #[error("{doing} {path}: {error}")]
    Io { doing: &'static str, path: PathBuf, error: io::Error },
    #[error(transparent)]
    Root(#[from] root::RootError),
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    #[error(transparent)]
    Etc(#[from] etc::EtcError),
    #[error(transparent)]
    Var(#[from] var::VarError),
    #[error(transparent)]
    Handover(#[from] handover::HandoverError),
}

/// For `map_err`: what was being done, and where.
fn failed(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> BootError {
    let path = path.as_ref().to_owned();
    move |error| BootError::Io { doing, path, error }
}

impl<'a> Boot<'a> {
    /// A boot that has not begun.
    pub fn new(
        machine: &'a dyn Machine,
        places: Places,
        console: &'a Console,
        args: KernelArgs,
        index: &'a ModuleIndex,
    ) -> Self {
        Self {
            machine,
            places,
            console,
            args,
            index,
            modules: Modules::new(index),
            devices: Devices::default(),
            timeline: Timeline::default(),
            warnings: Vec::new(),
            refused: Vec::new(),
            boot_disk: None,
            seen: Vec::new(),
        }
    }

    /// Says a line that also stands in the record.
    pub fn warn(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.console.say(format!("warning: {text}"));
        // A step that is done again may say it again.
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }

    /// Looks at the devices once.
    pub fn poll(&mut self) -> bool {
        let mut devices = std::mem::take(&mut self.devices);
        let changed = devices.poll(self);
        self.devices = devices;
        changed
    }

    /// Loads modules by their names, as a file system's.
    pub fn load_named(&mut self, names: &[&str]) {
        let mut devices = std::mem::take(&mut self.devices);
        devices.load_named(self, names);
        self.devices = devices;
    }

    fn announce_missing_drivers(&mut self) {
        let mut devices = std::mem::take(&mut self.devices);
        devices.announce_missing(self);
        self.devices = devices;
    }

    /// Does a step, notes its time, and says its line.
    fn step<T>(
        &mut self,
        step: Step,
        work: impl FnOnce(&mut Self) -> Result<(T, String), BootError>,
    ) -> Result<T, BootError> {
        let name = step.name();
        let started = self.machine.uptime();
        let done = work(self);
        self.timeline.note(name, started, self.machine.uptime());
        let (value, line) = done?;
        self.console.say(format!("{name}: {line}"));
        Ok(value)
    }

    /// Does a step until it succeeds: a failure is told, what it left is undone,
    /// and the operator has the word, while `watch` looks out for what was missing.
    fn retry_until_ok<T>(
        &mut self,
        step: Step,
        shell: Shell,
        watch: &mut dyn FnMut(&mut Boot<'_>),
        mut work: impl FnMut(&mut Self) -> Result<(T, String), BootError>,
        undo: impl Fn(&mut Self),
    ) -> T {
        loop {
            self.seen.clear();
            match self.step(step, &mut work) {
                Ok(value) => return value,
                Err(error) => {
                    self.tell(step.name(), shell, &error);
                    undo(self);
                    if self.seen.is_empty() {
                        self.seen = Survey::take(&self.places).describe();
                    }
                    operator::on_missing(self, shell, watch);
                }
            }
        }
    }

    /// Says why a step failed.
    fn tell(&mut self, name: &str, shell: Shell, error: &BootError) {
        self.console.say(error.to_string().lines().map(|line| format!("{name}: {line}\n")).collect::<String>());
        // Damage explains what it led to; the root step has told it itself.
        if shell == Shell::Image
            && let Some(damage) = root::damage(self.machine)
        {
            self.console.say(root::RootError::Damaged(damage).to_string());
        }
        self.announce_missing_drivers();
    }
}

/// For when there is nothing to boot: what `appliance.on-missing` says.
pub fn ask_operator(boot: &mut Boot<'_>) {
    operator::on_missing(boot, Shell::BuiltIn, &mut |_| {});
}

/// From the kernel's arguments to a root that is ready for systemd. Returns
/// when everything stands; until then failures go to the operator.
pub fn boot(boot: &mut Boot<'_>) {
    if boot.args.action == Action::Check {
        check::run(boot);
        return;
    }
    let root = boot.retry_until_ok(Step::Root, Shell::BuiltIn, &mut root::watcher(), root::open, root::close);
    boot.boot_disk = Some(root.disk.clone());
    if boot.args.action == Action::Rescue {
        operator::rescue(boot);
    }
    let (config, layer) = loop {
        let config =
            boot.retry_until_ok(Step::Config, Shell::Image, &mut config::watcher(), config::find, config::close);
        match boot.step(Step::Etc, |boot| etc::prepare(boot, &config)) {
            Ok(layer) => break (config, layer),
            Err(error) => {
                // What is wrong with the config's files is mended on the config partition: it is let go and found again.
                boot.console.say(format!("etc: {error}"));
                config::close(boot);
                boot.seen = Survey::take(&boot.places).describe();
                operator::on_missing(boot, Shell::Image, &mut config::watcher());
            }
        }
    };
    // Nothing that could appear mends these.
    let drivers = &mut |boot: &mut Boot<'_>| {
        boot.poll();
    };
    let identity = |boot: &mut Boot<'_>| identity::write(boot, &config.marker);
    let machine_id = boot.retry_until_ok(Step::Identity, Shell::Image, drivers, identity, |_| {});
    boot.retry_until_ok(Step::Overlay, Shell::Image, drivers, etc::mount, |_| {});
    let mount_var = |boot: &mut Boot<'_>| var::mount(boot, &config);
    let var = boot.retry_until_ok(Step::Var, Shell::Image, &mut var::watcher(&config), mount_var, var::close);
    let mut record = BootRecord {
        schema: Schema::CURRENT,
        role: boot.args.role,
        image: root.image.clone(),
        root: root.record(&boot.args),
        config: Some(config.record()),
        refused: std::mem::take(&mut boot.refused),
        etc: layer.record,
        var: var.on,
        var_degraded: var.degraded,
        machine_id,
        warnings: Vec::new(),
        steps: Vec::new(),
    };
    boot.retry_until_ok(Step::Handover, Shell::Image, drivers, |boot| handover::prepare(boot, &mut record), |_| {});
}
