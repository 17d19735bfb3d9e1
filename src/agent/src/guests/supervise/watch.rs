//! From a guest's start to its end: its console goes to the journal and to
//! whoever opens it, systemd hears that it is ready, and it is asked, then
//! forced, to end.

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

/// How often a guest that does not answer is asked again to power off: one that
/// boots hears it only later.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// The longest sleep, for what is looked at by and by.
const TURN: Duration = Duration::from_secs(1);
/// How long xl or QEMU may take to end once its guest has.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// Signals that ask us to end, and those of our children.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Catches SIGTERM and SIGINT from now on.
    pub fn catch() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD] {
            set.add(signal);
        }
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// Whether one asked us to end since the last look.
    pub fn asked_to_end(&self) -> bool {
        let mut asked = false;
        while let Ok(Some(signal)) = self.0.read_signal() {
            asked |= signal.ssi_signo != Signal::SIGCHLD as u32;
        }
        asked
    }
}

/// What became of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// By itself.
    Ended(End),
    /// As we were asked to.
    Stopped,
    /// It was ended, for it was not ready in time; what it was waited for.
    NotReady(String),
}

/// What a supervisor is told on the way.
pub trait Listener {
    /// The guest printed a line.
    fn console(&mut self, line: &str);
    /// xl's or QEMU's words.
    fn program(&mut self, line: &str);
    /// Something that the journal should have.
    fn note(&mut self, text: &str);
    /// With the state that the guest reported.
    fn ready(&mut self, state: &str);
    /// The guest is asked to power off.
    fn stopping(&mut self);
    /// It was not ready in time, and why. Whether it is ended for that.
    fn late(&mut self, why: &str) -> bool;
}

/// How long a guest may take.
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

/// Watches over one guest.
pub struct Supervisor<'a> {
    /// The node.
    pub world: &'a World<'a>,
    /// The guest's name.
    pub guest: &'a str,
    /// Signals that end the supervision.
    pub signals: &'a Signals,
    /// How long the guest may take.
    pub bounds: Bounds,
    /// Where the guest answers when it is ready; without it, its console says so.
    pub ready_port: Option<ReadyPort<'a>>,
    /// Where the console is served.
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
    /// What the guest says on its console counts: it has no port to answer on.
    heeds_console: bool,
    ready: bool,
    stopping: Option<(Stopping, Instant)>,
    asked: Option<Instant>,
    forced: bool,
}

/// What may still be read from.
#[derive(Clone, Copy)]
struct Open {
    console: bool,
    outputs: [bool; 2],
    monitor: bool,
}

impl Supervisor<'_> {
    /// Watches over `vm` to its end; whatever happens, it has ended then.
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
                        End::Failed(format!("the program that ran it ended: {status}{}", said.unwrap_or_default()))
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

    /// Why the guest does not count as ready.
    fn unready(&self) -> String {
        let unsaid = || "its console has not said so".to_owned();
        self.ready_port.as_ref().map_or_else(unsaid, ReadyPort::failure)
    }

    /// Asks, asks again, forces.
    fn end(&self, watch: &mut Watch<'_>, listener: &mut dyn Listener) {
        let Some((_, since)) = watch.stopping else { return };
        if since.elapsed() >= self.bounds.stop {
            if !watch.forced {
                listener.note(&format!("it has not powered off within {} s: it is forced", self.bounds.stop.as_secs()));
                watch.forced = true;
                if let Err(error) = watch.vm.force(self.world, self.guest) {
                    listener.note(&format!("ending it: {error}"));
                }
            } else if since.elapsed() >= self.bounds.stop + LAST_WORDS {
                // xl that does not see its domain's end.
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
    /// Until something happens, for a turn at most.
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
        let turn = PollTimeout::try_from(TURN).map_err(io::Error::other)?;
        match poll(&mut sources, turn) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes whatever is there to be read.
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
                    for line in self.outputs[index].take(&bytes) {
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
                // A guest that does not read its console loses what is typed, as on a serial line.
                let _ = console.write_all(&typed);
                true
            }
            None => false,
        });
    }

    fn console(&mut self, bytes: &[u8], listener: &mut dyn Listener) {
        // Who does not read in time is let go: the guest does not wait for anybody.
        self.clients.retain(|mut client| bytes.is_empty() || client.write_all(bytes).is_ok());
        for line in self.lines.take(bytes) {
            listener.console(&line);
            if let (true, false, Some(state)) = (self.heeds_console, self.ready, console::ready_state(&line)) {
                self.ready = true;
                listener.ready(state);
            }
        }
    }

    fn greet(&mut self, mut client: UnixStream) {
        if set_nonblocking(&client).is_ok() && client.write_all(self.lines.kept()).is_ok() {
            self.clients.push(client);
        }
    }

    fn say_rests(&mut self, listener: &mut dyn Listener) {
        if let Some(line) = self.lines.rest() {
            listener.console(&line);
        }
        for output in &mut self.outputs {
            if let Some(line) = output.rest() {
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

    /// Notes what it hears; a guest that is late is ended.
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

    /// Supervises a program in a guest's place, which says on its console that it is ready and then ends, or stays.
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
