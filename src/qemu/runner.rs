//! Runs one scenario: makes its drives, starts the machine, walks its steps.

use super::console::{Console, FAILURES, Waited};
use super::direct::{Direct, GuestImage};
use super::fixture::{self, FixtureError};
use super::monitor::Monitor;
use super::scenario::{Scenario, ScenarioDrive, Step};
use super::{Accelerator, Drive, Machine, QemuError, damage, keeper};
use crate::util::sha256;
use appliance_contract::Sha256;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// How long QEMU may take to end after its console has closed.
const EXIT_BOUND: Duration = Duration::from_secs(30);

/// What a scenario needs from outside.
#[derive(Debug, Clone)]
pub struct Setting {
    /// QEMU's program.
    pub qemu: PathBuf,
    /// The ISO that is tested.
    pub image: PathBuf,
    /// The fleet that the scenarios' nodes come from.
    pub fleet: PathBuf,
    /// Receives the console's log; a scenario's own files lie in a temporary folder.
    pub logs: PathBuf,
    /// Set from outside, it ends every scenario.
    pub stop: Arc<AtomicBool>,
}

/// What came of a scenario.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// `None`: passed.
    pub failure: Option<String>,
    /// From power-on to the end.
    pub took: Duration,
    /// When each expected text came, counted from power-on.
    pub milestones: Vec<(String, Duration)>,
    /// The last lines of the console.
    pub tail: Vec<String>,
}

/// Why a scenario cannot be run at all.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its machine cannot be started or watched.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// Its drives cannot be made.
    #[error(transparent)]
    Fixture(#[from] FixtureError),
}

/// Runs `scenario`. An error means that it could not be run at all; that its promise was broken is an [`Outcome`].
pub fn run(name: &str, scenario: &Scenario, setting: &Setting) -> Result<Outcome, RunError> {
    let folder = tempfile::tempdir().map_err(QemuError::file("making a folder in", std::env::temp_dir()))?;
    let guest = scenario.guest_image.as_ref().map(|name| GuestImage::of_host(&setting.image, name)).transpose()?;
    let first = scenario.drives.iter().filter(|drive| drive.first).count() as u32;
    let file = match &guest {
        Some(guest) => guest.root.clone(),
        None => medium(scenario, setting, folder.path())?,
    };
    let direct = match (guest, &scenario.kernel_arguments) {
        (Some(guest), _) => Some(guest.direct),
        (None, Some(more)) => Some(Direct::of_medium(&setting.image, more, folder.path())?),
        (None, None) => None,
    };
    // A kernel that QEMU starts itself takes the first place.
    let boot_index = direct.is_none().then_some(first);
    let mut drives =
        vec![Drive { name: "medium".to_owned(), file, bus: scenario.attached, keep_writes: false, boot_index }];
    let mut late = Vec::new();
    let mut unwritten = Vec::new();
    let mut order = 0..first;
    for drive in &scenario.drives {
        let mut made = make_drive(drive, setting, folder.path())?;
        made.boot_index = if drive.first { order.next() } else { None };
        if drive.dirty_journal {
            unwritten.push((drive.name.clone(), made.file.clone(), hash(&made.file)?));
        }
        if drive.late { late.push(made) } else { drives.push(made) }
    }
    let socket = folder.path().join("monitor");
    let machine = Machine {
        firmware: scenario.firmware,
        accelerator: Accelerator::Tcg,
        memory_mib: scenario.memory_mib,
        processor: scenario.processor.clone(),
        drives,
        direct,
        cards: scenario.network.iter().map(|card| card.name.clone()).collect(),
        ssh_port: None,
        monitor: Some(socket.clone()),
    };
    let mut arguments = machine.command(folder.path())?;
    arguments.extend(["-serial".into(), "stdio".into()]);
    std::fs::create_dir_all(&setting.logs).map_err(QemuError::file("making", &setting.logs))?;
    let mut starts = 0;
    let mut start = || {
        starts += 1;
        // Each start has a log of its own.
        let name = if starts == 1 { format!("{name}.log") } else { format!("{name}-{starts}.log") };
        Running::start(&setting.qemu, &arguments, &setting.logs.join(name))
    };
    let mut running = start()?;
    let stop = &setting.stop;
    let mut walk = Walk { scenario, late, socket, stop, monitor: None, milestones: Vec::new(), begun: Instant::now() };
    for card in scenario.network.iter().filter(|card| !card.cable) {
        walk.monitor()?.set_cable(&card.name, false)?;
    }
    let mut failure = walk.all(&mut running, &mut start)?;
    for (name, file, before) in unwritten {
        if failure.is_none() && hash(&file)? != before {
            failure = Some(format!("drive {name} was written to"));
        }
    }
    if let Some(failure) = &mut failure {
        // What QEMU itself said, where it refused to go on.
        let said = std::fs::read_to_string(running.log.with_extension("qemu.log")).unwrap_or_default();
        if let Some(line) = said.lines().last() {
            *failure += &format!(" ({line})");
        }
    }
    Ok(Outcome { failure, took: walk.begun.elapsed(), milestones: walk.milestones, tail: running.console.tail(25) })
}

fn hash(file: &Path) -> Result<Sha256, QemuError> {
    Ok(sha256::of(std::fs::read(file).map_err(QemuError::file("reading", file))?))
}

/// The image itself, or a copy with the damage, the length and the partition that the scenario wants.
fn medium(scenario: &Scenario, setting: &Setting, folder: &Path) -> Result<PathBuf, RunError> {
    let image = match &scenario.image {
        Some(other) => setting.image.with_file_name(other),
        None => setting.image.clone(),
    };
    if scenario.is_unchanged() {
        return Ok(image);
    }
    let copy = folder.join("changed.iso");
    std::fs::copy(&image, &copy).map_err(QemuError::file("copying the image to", &copy))?;
    for damage in &scenario.damage {
        damage::flip_bit(&copy, &damage.file, damage.percent)?;
    }
    if scenario.truncate > 0 {
        damage::truncate(&copy, scenario.truncate)?;
    }
    if let Some(node) = &scenario.config_on_medium {
        fixture::append_config(&copy, node, &setting.fleet)?;
    }
    Ok(copy)
}

fn make_drive(drive: &ScenarioDrive, setting: &Setting, folder: &Path) -> Result<Drive, RunError> {
    let file = folder.join(format!("{}.img", drive.name));
    let images = setting.image.parent().unwrap_or(Path::new(""));
    fixture::make(drive, &setting.fleet, images, &file)?;
    // The file is of this run alone, and a restarted machine finds what it wrote.
    Ok(Drive { name: drive.name.clone(), file, bus: drive.bus, keep_writes: true, boot_index: None })
}

/// A started QEMU; it ends with this value.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    console: Console,
    log: PathBuf,
}

impl Running {
    fn start(qemu: &Path, arguments: &[std::ffi::OsString], log: &Path) -> Result<Self, QemuError> {
        let errors = std::fs::File::create(log.with_extension("qemu.log")).map_err(QemuError::file("writing", log))?;
        let mut child = keeper::command(qemu, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(|source| QemuError::Start { source })?;
        let output =
            child.stdout.take().ok_or_else(|| QemuError::Start { source: std::io::ErrorKind::BrokenPipe.into() })?;
        let input = child.stdin.take();
        let console = Console::follow(output, log).map_err(QemuError::file("writing", log))?;
        Ok(Self { child, input, console, log: log.to_owned() })
    }

    fn send(&mut self, text: &str) -> std::io::Result<()> {
        // A serial terminal's Enter is a carriage return.
        let bytes = text.replace('\n', "\r");
        let input = self.input.as_mut().ok_or(std::io::ErrorKind::BrokenPipe)?;
        input.write_all(bytes.as_bytes())?;
        input.flush()
    }

    fn ended(&mut self) -> std::io::Result<bool> {
        let bound = Instant::now() + EXIT_BOUND;
        while Instant::now() < bound {
            if self.child.try_wait()?.is_some() {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(false)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; nothing is left to do about an error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The way through a scenario's steps.
struct Walk<'a> {
    scenario: &'a Scenario,
    late: Vec<Drive>,
    socket: PathBuf,
    stop: &'a AtomicBool,
    monitor: Option<Monitor>,
    milestones: Vec<(String, Duration)>,
    begun: Instant,
}

impl Walk<'_> {
    /// `Some` tells which step's promise was broken, and how.
    fn all(
        &mut self,
        running: &mut Running,
        start: &mut dyn FnMut() -> Result<Running, QemuError>,
    ) -> Result<Option<String>, QemuError> {
        let mut failures = self.scenario.fail.clone();
        if !self.scenario.expects_panic {
            failures.extend(FAILURES.iter().map(|&text| text.to_owned()));
        }
        let until = self.begun + Duration::from_secs(self.scenario.bound);
        for step in &self.scenario.steps {
            let waited = match step {
                Step::Expect { expect } => running.console.wait(Some(expect), &failures, until, self.stop),
                Step::Off { .. } | Step::Restart { .. } => {
                    match running.console.wait(None, &failures, until, self.stop) {
                        Waited::Found if !running.ended().unwrap_or(false) => Waited::TimedOut,
                        waited => waited,
                    }
                }
                Step::Send { send } => match running.send(send) {
                    Ok(()) => continue,
                    Err(_) => Waited::Closed,
                },
                Step::Attach { attach } => {
                    self.attach(attach)?;
                    continue;
                }
                Step::Plug { plug } => {
                    self.monitor()?.set_cable(plug, true)?;
                    continue;
                }
                Step::Absent { absent } if running.console.contains(absent) => {
                    return Ok(Some(format!("{absent:?} came, which must not")));
                }
                Step::Absent { .. } => continue,
            };
            let what = match step {
                Step::Expect { expect } => format!("{expect:?}"),
                _ => "the machine to go off".to_owned(),
            };
            match waited {
                Waited::Found => {
                    self.milestones.push((what, self.begun.elapsed()));
                    if let Step::Restart { .. } = step {
                        // The monitor and what was plugged in ended with the machine.
                        self.monitor = None;
                        *running = start()?;
                    }
                }
                Waited::Failed(text) => return Ok(Some(format!("{text:?} came while waiting for {what}"))),
                Waited::Closed => return Ok(Some(format!("the machine ended while waiting for {what}"))),
                Waited::Stopped => return Ok(Some(format!("interrupted while waiting for {what}"))),
                Waited::TimedOut => {
                    return Ok(Some(format!("{what} did not come within {} s", self.scenario.bound)));
                }
            }
        }
        Ok(None)
    }

    fn attach(&mut self, name: &str) -> Result<(), QemuError> {
        let drive = self.late.iter().find(|drive| drive.name == name).cloned().ok_or_else(|| QemuError::NoDrive {
            name: name.to_owned(),
            known: self.late.iter().map(|drive| drive.name.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        self.monitor()?.attach(&drive)
    }

    fn monitor(&mut self) -> Result<&mut Monitor, QemuError> {
        let monitor = match self.monitor.take() {
            Some(monitor) => monitor,
            None => Monitor::connect(&self.socket)?,
        };
        Ok(self.monitor.insert(monitor))
    }
}
