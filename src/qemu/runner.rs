//! Runs one scenario: makes its drives, starts the machine, runs its steps.

use super::console::{Console, FAILURES, WaitResult};
use super::direct::{DirectBoot, GuestImage};
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

/// The environment of a scenario: programs, images and directories.
#[derive(Debug, Clone)]
pub struct TestEnvironment {
    /// QEMU's program.
    pub qemu: PathBuf,
    /// The ISO that is tested.
    pub image: PathBuf,
    /// The fleet with the scenarios' nodes.
    pub fleet: PathBuf,
    /// The directory for console logs. A scenario's own files are in a temporary directory.
    pub logs: PathBuf,
    /// Ends all scenarios when it is set.
    pub stop: Arc<AtomicBool>,
}

/// The result of a scenario.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Why it failed; `None` if it passed.
    pub failure: Option<String>,
    /// From power-on to the end.
    pub took: Duration,
    /// The time from power-on until each expected text appeared.
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

/// Runs `scenario`. An error means that it could not be run. A failed scenario is an [`Outcome`].
pub fn run(name: &str, scenario: &Scenario, environment: &TestEnvironment) -> Result<Outcome, RunError> {
    let folder = tempfile::tempdir().map_err(QemuError::file("making a directory in", std::env::temp_dir()))?;
    let guest = scenario.guest_image.as_ref().map(|name| GuestImage::of_host(&environment.image, name)).transpose()?;
    let first = scenario.drives.iter().filter(|drive| drive.first).count() as u32;
    let file = match &guest {
        Some(guest) => guest.root.clone(),
        None => medium(scenario, environment, folder.path())?,
    };
    let direct = match (guest, &scenario.kernel_arguments) {
        (Some(guest), _) => Some(guest.direct),
        (None, Some(more)) => Some(DirectBoot::of_medium(&environment.image, more, folder.path())?),
        (None, None) => None,
    };
    // A kernel that QEMU loads directly is first in the boot order.
    let boot_index = direct.is_none().then_some(first);
    let mut drives =
        vec![Drive { name: "medium".to_owned(), file, bus: scenario.attached, keep_writes: false, boot_index }];
    let mut late = Vec::new();
    let mut unwritten = Vec::new();
    let mut order = 0..first;
    for drive in &scenario.drives {
        let mut made = make_drive(drive, environment, folder.path())?;
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
    std::fs::create_dir_all(&environment.logs).map_err(QemuError::file("making", &environment.logs))?;
    let mut starts = 0;
    let mut start = || {
        starts += 1;
        // Each start has a log of its own.
        let name = if starts == 1 { format!("{name}.log") } else { format!("{name}-{starts}.log") };
        RunningMachine::start(&environment.qemu, &arguments, &environment.logs.join(name))
    };
    let mut running = start()?;
    let stop = &environment.stop;
    let mut runner =
        StepRunner { scenario, late, socket, stop, monitor: None, milestones: Vec::new(), begun: Instant::now() };
    for card in scenario.network.iter().filter(|card| !card.cable) {
        runner.monitor()?.set_cable(&card.name, false)?;
    }
    let mut failure = runner.run_steps(&mut running, &mut start)?;
    for (name, file, before) in unwritten {
        if failure.is_none() && hash(&file)? != before {
            failure = Some(format!("drive {name} was written to"));
        }
    }
    if let Some(failure) = &mut failure {
        // QEMU's own last message, if there is one.
        let messages = std::fs::read_to_string(running.log.with_extension("qemu.log")).unwrap_or_default();
        if let Some(line) = messages.lines().last() {
            *failure += &format!(" ({line})");
        }
    }
    Ok(Outcome { failure, took: runner.begun.elapsed(), milestones: runner.milestones, tail: running.console.tail(25) })
}

fn hash(file: &Path) -> Result<Sha256, QemuError> {
    Ok(sha256::of(std::fs::read(file).map_err(QemuError::file("reading", file))?))
}

/// The image itself, or a copy with the scenario's damage, truncation and config partition.
fn medium(scenario: &Scenario, environment: &TestEnvironment, folder: &Path) -> Result<PathBuf, RunError> {
    let image = match &scenario.image {
        Some(other) => environment.image.with_file_name(other),
        None => environment.image.clone(),
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
        fixture::append_config(&copy, node, &environment.fleet)?;
    }
    Ok(copy)
}

fn make_drive(drive: &ScenarioDrive, environment: &TestEnvironment, folder: &Path) -> Result<Drive, RunError> {
    let file = folder.join(format!("{}.img", drive.name));
    let images = environment.image.parent().unwrap_or(Path::new(""));
    fixture::make(drive, &environment.fleet, images, &file)?;
    // Writes go to the file: only this run uses it, and a restarted machine must see its own changes.
    Ok(Drive { name: drive.name.clone(), file, bus: drive.bus, keep_writes: true, boot_index: None })
}

/// A running QEMU, which is killed on drop.
struct RunningMachine {
    child: Child,
    input: Option<ChildStdin>,
    console: Console,
    log: PathBuf,
}

impl RunningMachine {
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

impl Drop for RunningMachine {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a scenario's steps.
struct StepRunner<'a> {
    scenario: &'a Scenario,
    late: Vec<Drive>,
    socket: PathBuf,
    stop: &'a AtomicBool,
    monitor: Option<Monitor>,
    milestones: Vec<(String, Duration)>,
    begun: Instant,
}

impl StepRunner<'_> {
    /// Runs all steps. Returns why a step failed; `None` if all passed.
    fn run_steps(
        &mut self,
        running: &mut RunningMachine,
        start: &mut dyn FnMut() -> Result<RunningMachine, QemuError>,
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
                        WaitResult::Found if !running.ended().unwrap_or(false) => WaitResult::TimedOut,
                        waited => waited,
                    }
                }
                Step::Send { send } => match running.send(send) {
                    Ok(()) => continue,
                    Err(_) => WaitResult::Closed,
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
                    return Ok(Some(format!("{absent:?} appeared, which it must not")));
                }
                Step::Absent { .. } => continue,
            };
            let what = match step {
                Step::Expect { expect } => format!("{expect:?}"),
                _ => "the machine to power off".to_owned(),
            };
            match waited {
                WaitResult::Found => {
                    self.milestones.push((what, self.begun.elapsed()));
                    if let Step::Restart { .. } = step {
                        // The monitor connection and the hot-plugged devices ended with the machine.
                        self.monitor = None;
                        *running = start()?;
                    }
                }
                WaitResult::Failed(text) => return Ok(Some(format!("{text:?} appeared while waiting for {what}"))),
                WaitResult::Closed => return Ok(Some(format!("the machine ended while waiting for {what}"))),
                WaitResult::Stopped => return Ok(Some(format!("interrupted while waiting for {what}"))),
                WaitResult::TimedOut => {
                    return Ok(Some(format!("timed out after {} s while waiting for {what}", self.scenario.bound)));
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
