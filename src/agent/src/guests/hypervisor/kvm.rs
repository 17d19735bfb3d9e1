//! What QEMU needs of the host beside its arguments, and its monitor (QMP).

use super::End;
use crate::guests::plan::PlanCard;
use crate::system::nonblocking::set_nonblocking;
use crate::system::world::World;
use serde_json::Value;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;

/// Users of guests begin here; systemd's list of ranges leaves it free
/// (UIDS-GIDS: 1879048192 to 2147352575 is unused).
pub const FIRST_USER: u32 = 0x7000_0000;

/// The group that may use /dev/kvm, which udev's rules give it to.
pub fn group(world: &World<'_>) -> Option<u32> {
    let text = std::fs::read_to_string(world.at("/etc/group")).ok()?;
    let line = text.lines().find(|line| line.starts_with("kvm:"))?;
    line.split(':').nth(2)?.parse().ok()
}

/// The interfaces of a guest's cards; the kernel keeps them until they are removed.
#[derive(Debug)]
pub struct Network {
    interfaces: Vec<String>,
}

impl Network {
    /// Makes a tap interface for each card; what exists already under that name is replaced.
    pub fn make(world: &World<'_>, cards: &[PlanCard], user: u32) -> io::Result<Self> {
        let mut network = Self { interfaces: Vec::new() };
        for card in cards {
            let name = card.interface.as_str();
            network.interfaces.push(name.to_owned());
            if world.at(format!("/sys/class/net/{name}")).exists() {
                // Left by a supervisor that was killed.
                ip(world, &["link", "delete", "dev", name])?;
            }
            let made = ip(world, &["tuntap", "add", "dev", name, "mode", "tap", "user", &user.to_string()])
                .and_then(|()| ip(world, &["link", "set", "dev", name, "master", &card.bridge]))
                .and_then(|()| ip(world, &["link", "set", "dev", name, "up"]));
            if let Err(error) = made {
                network.remove(world);
                return Err(error);
            }
        }
        Ok(network)
    }

    /// Removes the interfaces.
    pub fn remove(&self, world: &World<'_>) {
        for name in &self.interfaces {
            // One that is gone is as good.
            let _ = ip(world, &["link", "delete", "dev", name]);
        }
    }
}

fn ip(world: &World<'_>, arguments: &[&str]) -> io::Result<()> {
    let output = world.programs.run("ip", arguments)?;
    if output.is_well() {
        return Ok(());
    }
    Err(io::Error::other(format!("ip {}: {}", arguments.join(" "), output.complaint())))
}

/// QEMU's monitor: a line of JSON for each command, answer and event (docs/interop/qmp-spec).
#[derive(Debug)]
pub struct Monitor {
    /// The socket, for polling and reading.
    pub stream: UnixStream,
    begun: Vec<u8>,
}

impl Monitor {
    /// Starts a session on the monitor's socket.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        let mut monitor = Self { stream, begun: Vec::new() };
        set_nonblocking(&monitor.stream)?;
        // Before it, no other command is taken.
        monitor.command("qmp_capabilities")?;
        Ok(monitor)
    }

    fn command(&mut self, name: &str) -> io::Result<()> {
        self.stream.write_all(format!("{{\"execute\": \"{name}\"}}\n").as_bytes())
    }

    /// Presses the guest's power button.
    pub fn power_down(&mut self) -> io::Result<()> {
        self.command("system_powerdown")
    }

    /// Takes what the monitor sent; gives how the guest ended, if it says so.
    pub fn take(&mut self, bytes: &[u8]) -> Option<End> {
        self.begun.extend_from_slice(bytes);
        let mut end = None;
        while let Some(at) = self.begun.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=at).collect();
            end = event(&line).or(end);
        }
        end
    }
}

/// How the guest ended, by the event SHUTDOWN and its reason (qapi/run-state.json, ShutdownCause).
fn event(line: &[u8]) -> Option<End> {
    let message: Value = serde_json::from_slice(line).ok()?;
    if message.get("event")?.as_str()? != "SHUTDOWN" {
        return None;
    }
    let reason = message.pointer("/data/reason").and_then(Value::as_str).unwrap_or("none");
    Some(match reason {
        "guest-shutdown" | "host-qmp-quit" | "host-signal" => End::PoweredOff,
        "guest-reset" | "subsystem-reset" => End::Reset,
        "guest-panic" => End::Failed("it panicked; its last words are on its console in the journal".to_owned()),
        other => End::Failed(format!("QEMU ended it: {other}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::tests::Node;
    use appliance_contract::guest::CardModel;
    use std::io::Read;

    #[test]
    fn interfaces_are_made_for_the_guests_user_and_removed() {
        let node = Node::new();
        let world = node.world();
        node.file("/sys/class/net/gaa.0/address", b"");
        node.programs.answer("ip", 0, "");
        let card = PlanCard {
            bridge: "br0".into(),
            mac: "02:00:00:00:00:01".into(),
            model: CardModel::Virtio,
            interface: "gaa.0".into(),
        };
        let network = Network::make(&world, std::slice::from_ref(&card), 77).unwrap();
        network.remove(&world);
        assert_eq!(
            *node.programs.calls.borrow(),
            [
                "ip link delete dev gaa.0",
                "ip tuntap add dev gaa.0 mode tap user 77",
                "ip link set dev gaa.0 master br0",
                "ip link set dev gaa.0 up",
                "ip link delete dev gaa.0",
            ]
        );
        node.programs.answer("ip link set dev gaa.0 master", 1, "no such bridge");
        let error = Network::make(&world, &[card], 77).unwrap_err().to_string();
        assert_eq!(error, "ip link set dev gaa.0 master br0: no such bridge");
        assert_eq!(node.programs.calls.borrow().last().unwrap(), "ip link delete dev gaa.0");
    }

    #[test]
    fn the_monitor_tells_how_the_guest_ended() {
        let (ours, mut qemus) = UnixStream::pair().unwrap();
        let mut monitor = Monitor::new(ours).unwrap();
        let mut buffer = [0; 100];
        let length = qemus.read(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"{\"execute\": \"qmp_capabilities\"}\n");
        assert_eq!(monitor.take(b"{\"QMP\": {}}\n{\"return\": {}}\n{\"event\": \"SHUT"), None);
        assert_eq!(
            monitor.take(b"DOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\n"),
            Some(End::Reset)
        );
        let failed = monitor.take(b"{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"guest-panic\"}}\n");
        assert!(matches!(failed, Some(End::Failed(_))));
    }
}
