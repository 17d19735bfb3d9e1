//! Watches a guest from its start to its end: forwards its console to the journal
//! and to clients, reports when it is ready, asks it to power off, and kills it
//! after a timeout.

use super::console::{self, Lines};
use super::ready::ReadyPort;
use crate::guests::hypervisor::End;
use crate::guests::hypervisor::vm::{Kind, Vm};
use crate::system::nonblocking::{read_available, set_nonblocking};
use crate::system::world::World;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::fs;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// The interval at which a guest is asked again to power off: a booting guest
/// misses earlier requests.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// The longest sleep, for what is polled.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long xl or QEMU may take to exit after its guest has ended.
const EXIT_TIMEOUT: Duration = Duration::from_secs(15);

/// SIGTERM, SIGINT, SIGHUP and SIGCHLD.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals and opens a descriptor for them.
    pub fn catch() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD] {
            set.add(signal);
        }
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// Whether one of them other than SIGCHLD arrived since the last call.
    pub fn asked_to_end(&self) -> bool {
        let mut asked = false;
        while let Ok(Some(signal)) = self.0.read_signal() {
            asked |= signal.ssi_signo != Signal::SIGCHLD as u32;
        }
        asked
    }
}

/// How a guest's run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ended by itself.
    Ended(End),
    /// It was stopped on request.
    Stopped,
    /// It was stopped because it was not ready in time; what was missing.
    NotReady(String),
}

/// Receives the events of a guest's run.
pub trait Listener {
    /// The guest printed a line.
    fn console(&mut self, line: &str);
    /// xl or QEMU printed a line.
    fn program(&mut self, line: &str);
    /// A line for the journal.
    fn note(&mut self, text: &str);
    /// The guest is ready; with the state that it reported.
    fn ready(&mut self, state: &str);
    /// The guest is asked to power off.
    fn stopping(&mut self);
    /// The guest was not ready in time; the reason. Returns whether to stop it.
    fn late(&mut self, why: &str) -> bool;
}

/// A guest's timeouts.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Until it is ready.
    pub ready: Duration,
    /// Until it has powered off.
    pub stop: Duration,
}

/// Why a guest is being ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    Asked,
    Late,
}

/// Watches one guest.
pub struct Supervisor<'a> {
    /// The node.
    pub world: &'a World<'a>,
    /// The guest's name.
    pub guest: &'a str,
    /// Signals that end the supervision.
    pub signals: &'a Signals,
    /// The guest's timeouts.
    pub bounds: Bounds,
    /// The port on which a ready guest answers; without it, the ready line on its console counts.
    pub ready_port: Option<ReadyPort<'a>>,
    /// The socket on which the console is served.
    pub socket: &'a Path,
}

impl std::fmt::Debug for Supervisor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("guest", &self.guest).finish_non_exhaustive()
    }
}

/// The state of one supervision.
struct Watch<'a> {
    vm: &'a mut Vm,
    lines: Lines,
    outputs: [Lines; 2],
    open: Open,
    clients: Vec<UnixStream>,
    /// Whether the ready line on the console counts: the guest has no ready port.
    heeds_console: bool,
    ready: bool,
    stopping: Option<(Stopping, Instant)>,
    asked: Option<Instant>,
    forced: bool,
}

/// Which descriptors are still open for reading.
#[derive(Clone, Copy)]
struct Open {
    console: bool,
    outputs: [bool; 2],
    monitor: bool,
}

impl Supervisor<'_> {
    /// Watches `vm` to its end. Also after an error, it has ended when this returns.
    pub fn watch(&self, vm: &mut Vm, listener: &mut dyn Listener) -> io::Result<Outcome> {
        let consoles = self.listen()?;
        let begun = Instant::now();
        let mut late = false;
        let monitor = matches!(vm.kind, Kind::Kvm { .. });
        let mut watch = Watch {
            vm,
            lines: Lines::default(),
            outputs: [Lines::default(), Lines::default()],
            open: Open { console: true, outputs: [true; 2], monitor },
            clients: Vec::new(),
            heeds_console: self.ready_port.is_none(),
            ready: false,
            stopping: None,
            asked: None,
            forced: false,
        };
        loop {
            watch.wait(&self.signals.0, &consoles)?;
            if self.signals.asked_to_end() && watch.stopping.is_none_or(|(why, _)| why != Stopping::Asked) {
                watch.stopping = Some((Stopping::Asked, Instant::now()));
                watch.asked = None;
                listener.stopping();
            }
            while let Ok((client, _)) = consoles.accept() {
                watch.greet(client);
            }
            watch.read(listener);
            if !watch.ready && self.ready_port.as_ref().is_some_and(|port| port.answers(self.world)) {
                watch.ready = true;
                listener.ready("port");
            }
            if let Some(status) = watch.vm.child.try_wait()? {
                watch.read(listener);
                watch.say_rests(listener);
                let end = watch.vm.end.take().unwrap_or_else(|| match status.success() {
                    true => End::PoweredOff,
                    false => {
                        let said = watch.vm.complaint.take().map(|said| format!("; it said: {said}"));
                        End::Failed(format!("its xl or QEMU process ended: {status}{}", said.unwrap_or_default()))
                    }
                });
                return Ok(match watch.stopping {
                    Some((Stopping::Asked, _)) => Outcome::Stopped,
                    Some((Stopping::Late, _)) => Outcome::NotReady(self.unready()),
                    None => Outcome::Ended(end),
                });
            }
            if !watch.ready && !late && watch.stopping.is_none() && begun.elapsed() >= self.bounds.ready {
                late = true;
                if listener.late(&self.unready()) {
                    watch.stopping = Some((Stopping::Late, Instant::now()));
                }
            }
            self.end(&mut watch, listener);
        }
    }

    /// Why the guest is not ready.
    fn unready(&self) -> String {
        let unsaid = || "no ready line on console".to_owned();
        self.ready_port.as_ref().map_or_else(unsaid, ReadyPort::failure)
    }

    /// Asks the guest to power off, repeatedly, and kills it after the timeout.
    fn end(&self, watch: &mut Watch<'_>, listener: &mut dyn Listener) {
        let Some((_, since)) = watch.stopping else { return };
        if since.elapsed() >= self.bounds.stop {
            if !watch.forced {
                listener.note(&format!("it did not power off within {} s; forcing it", self.bounds.stop.as_secs()));
                watch.forced = true;
                if let Err(error) = watch.vm.force(self.world, self.guest) {
                    listener.note(&format!("ending it: {error}"));
                }
            } else if since.elapsed() >= self.bounds.stop + EXIT_TIMEOUT {
                // xl may miss its domain's end.
                let _ = watch.vm.child.kill();
            }
            return;
        }
        if watch.asked.is_none_or(|asked| asked.elapsed() >= ASK_AGAIN) {
            watch.asked = Some(Instant::now());
            if let Err(error) = watch.vm.ask_to_power_off(self.world, self.guest) {
                listener.note(&format!("asking it to power off: {error}"));
            }
        }
    }

    fn listen(&self) -> io::Result<UnixListener> {
        match fs::remove_file(self.socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let consoles = UnixListener::bind(self.socket)?;
        fs::set_permissions(self.socket, fs::Permissions::from_mode(0o600))?;
        consoles.set_nonblocking(true)?;
        Ok(consoles)
    }
}

impl Watch<'_> {
    /// Waits for an event, at most for `POLL_INTERVAL`.
    fn wait(&self, signals: &SignalFd, consoles: &UnixListener) -> io::Result<()> {
        let mut sources = vec![signals.as_fd(), consoles.as_fd()];
        if self.open.console {
            sources.push(self.vm.console.as_fd());
        }
        if let (true, Some(output)) = (self.open.outputs[0], &self.vm.child.stdout) {
            sources.push(output.as_fd());
        }
        if let (true, Some(output)) = (self.open.outputs[1], &self.vm.child.stderr) {
            sources.push(output.as_fd());
        }
        if let (true, Kind::Kvm { monitor }) = (self.open.monitor, &self.vm.kind) {
            sources.push(monitor.stream.as_fd());
        }
        sources.extend(self.clients.iter().map(AsFd::as_fd));
        let mut sources: Vec<PollFd<'_>> =
            sources.into_iter().map(|source| PollFd::new(source, PollFlags::POLLIN)).collect();
        let timeout = PollTimeout::try_from(POLL_INTERVAL).map_err(io::Error::other)?;
        match poll(&mut sources, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads all available input.
    fn read(&mut self, listener: &mut dyn Listener) {
        if self.open.console {
            match read_available(&self.vm.console) {
                Some(bytes) => self.console(&bytes, listener),
                None => self.open.console = false,
            }
        }
        for index in 0..2 {
            if !self.open.outputs[index] {
                continue;
            }
            let read = match index {
                0 => self.vm.child.stdout.as_mut().and_then(read_available),
                _ => self.vm.child.stderr.as_mut().and_then(read_available),
            };
            match read {
                Some(bytes) => {
                    for line in self.outputs[index].push(&bytes) {
                        self.vm.said(&line);
                        listener.program(&line);
                    }
                }
                None => self.open.outputs[index] = false,
            }
        }
        if let (true, Kind::Kvm { monitor }) = (self.open.monitor, &mut self.vm.kind) {
            match read_available(&monitor.stream) {
                Some(bytes) => self.vm.end = monitor.take(&bytes).or(self.vm.end.take()),
                None => self.open.monitor = false,
            }
        }
        let console = &mut self.vm.console;
        self.clients.retain(|client| match read_available(client) {
            Some(typed) => {
                // Input is dropped if the guest does not read its console, as on a serial line.
                let _ = console.write_all(&typed);
                true
            }
            None => false,
        });
    }

    fn console(&mut self, bytes: &[u8], listener: &mut dyn Listener) {
        // A client that does not read in time is disconnected: the guest must not wait for it.
        self.clients.retain(|mut client| bytes.is_empty() || client.write_all(bytes).is_ok());
        for line in self.lines.push(bytes) {
            listener.console(&line);
            if let (true, false, Some(state)) = (self.heeds_console, self.ready, console::ready_state(&line)) {
                self.ready = true;
                listener.ready(state);
            }
        }
    }

    fn greet(&mut self, mut client: UnixStream) {
        if set_nonblocking(&client).is_ok() && client.write_all(self.lines.tail()).is_ok() {
            self.clients.push(client);
        }
    }

    fn say_rests(&mut self, listener: &mut dyn Listener) {
        if let Some(line) = self.lines.finish() {
            listener.console(&line);
        }
        for output in &mut self.outputs {
            if let Some(line) = output.finish() {
                self.vm.said(&line);
                listener.program(&line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::hypervisor::kvm::Monitor;
    use crate::guests::tests::Node;
    use std::fs::File;
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    /// Records the events; stops a guest that is late.
    #[derive(Default)]
    struct Heard {
        ready: Vec<String>,
        late: Option<String>,
    }

    impl Listener for Heard {
        fn console(&mut self, _line: &str) {}
        fn program(&mut self, _line: &str) {}
        fn note(&mut self, _text: &str) {}
        fn ready(&mut self, state: &str) {
            self.ready.push(state.to_owned());
        }
        fn stopping(&mut self) {}
        fn late(&mut self, why: &str) -> bool {
            self.late = Some(why.to_owned());
            true
        }
    }

    /// Supervises a stand-in program, which prints the ready line on its console and then ends, or stays.
    fn supervise(node: &Node, port: Option<u16>, stays: bool) -> (Outcome, Heard) {
        let (console, mut guests) = UnixStream::pair().unwrap();
        let (monitor, _qemus) = UnixStream::pair().unwrap();
        guests.write_all(b"appliance: ready running\n").unwrap();
        set_nonblocking(&console).unwrap();
        let mut command = Command::new("sleep");
        command.arg(if stays { "600" } else { "2" }).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        set_nonblocking(child.stdout.as_mut().unwrap()).unwrap();
        set_nonblocking(child.stderr.as_mut().unwrap()).unwrap();
        let kind = Kind::Kvm { monitor: Monitor::new(monitor).unwrap() };
        let mut vm = Vm { child, console: File::from(OwnedFd::from(console)), kind, end: None, complaint: None };
        let world = node.world();
        let supervisor = Supervisor {
            world: &world,
            guest: "web",
            signals: &Signals::catch().unwrap(),
            bounds: Bounds { ready: Duration::from_secs(1), stop: Duration::ZERO },
            ready_port: port.map(|port| ReadyPort::new("web", &[], port)),
            socket: &node.at("/console"),
        };
        let mut heard = Heard::default();
        let outcome = supervisor.watch(&mut vm, &mut heard).unwrap();
        (outcome, heard)
    }

    #[test]
    fn a_guest_without_a_port_is_ready_when_its_console_says_so() {
        let (outcome, heard) = supervise(&Node::new(), None, false);
        assert_eq!((outcome, heard.ready, heard.late), (Outcome::Ended(End::PoweredOff), vec!["running".into()], None));
    }

    #[test]
    fn a_guest_with_a_port_is_ready_when_that_answers_and_not_before() {
        let node = Node::new();
        node.file("/etc/hosts", b"127.0.0.1 web\n");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (outcome, heard) = supervise(&node, Some(port), false);
        assert_eq!((outcome, heard.ready), (Outcome::Ended(End::PoweredOff), vec!["port".to_owned()]));
        drop(listener);
        let (outcome, heard) = supervise(&node, Some(port), true);
        assert!(heard.ready.is_empty(), "{:?}", heard.ready);
        let why = heard.late.unwrap();
        assert!(why.starts_with(&format!("port {port}: Connection refused")), "{why}");
        assert_eq!(outcome, Outcome::NotReady(why));
    }
}
