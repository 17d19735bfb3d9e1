//! A guest that is ready when it answers on a TCP port.

use super::world::World;
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Between two attempts, and how long one waits for the answer of a neighbour.
const PAUSE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub struct ReadyPort {
    guest: String,
    macs: Vec<String>,
    port: u16,
    last: Cell<Option<Instant>>,
}

impl ReadyPort {
    pub fn new(guest: &str, macs: &[String], port: u16) -> Self {
        Self { guest: guest.to_owned(), macs: macs.to_vec(), port, last: Cell::new(None) }
    }

    /// Asks now and then.
    pub fn answers(&self, world: &World<'_>) -> bool {
        if self.last.get().is_some_and(|last| last.elapsed() < PAUSE) {
            return false;
        }
        self.last.set(Some(Instant::now()));
        let address = self.address(world).map(|address| SocketAddr::new(address, self.port));
        address.is_some_and(|address| TcpStream::connect_timeout(&address, PATIENCE).is_ok())
    }

    /// By the guest's name in /etc/hosts, else by its card's address among the neighbours.
    fn address(&self, world: &World<'_>) -> Option<IpAddr> {
        let hosts = std::fs::read_to_string(world.at("/etc/hosts")).unwrap_or_default();
        let neighbours = std::fs::read_to_string(world.at("/proc/net/arp")).unwrap_or_default();
        by_name(&hosts, &self.guest).or_else(|| by_mac(&neighbours, &self.macs))
    }
}

fn by_name(hosts: &str, name: &str) -> Option<IpAddr> {
    hosts.lines().find_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    })
}

/// proc_pid_net(5), arp: the address is the first field, the hardware's the fourth.
fn by_mac(neighbours: &str, macs: &[String]) -> Option<IpAddr> {
    neighbours.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let mac = fields.get(3)?;
        macs.iter().any(|known| known.eq_ignore_ascii_case(mac)).then(|| fields[0].parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::tests::Node;
    use std::net::TcpListener;

    #[test]
    fn a_guest_is_found_by_name_or_by_its_card() {
        assert_eq!(by_name("# web\n10.0.0.1 other\n10.0.0.2 web.example Web # x\n", "web"), "10.0.0.2".parse().ok());
        let arp = "IP address HW type Flags HW address Mask Device\n10.0.0.3 0x1 0x2 02:00:00:00:00:0A * br0\n";
        assert_eq!(by_mac(arp, &["02:00:00:00:00:0a".into()]), "10.0.0.3".parse().ok());
        assert_eq!(by_mac(arp, &["02:00:00:00:00:0b".into()]), None);
    }

    #[test]
    fn it_is_ready_when_it_answers() {
        let node = Node::new();
        node.file("/etc/hosts", b"127.0.0.1 web\n");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(ReadyPort::new("web", &[], port).answers(&node.world()));
        drop(listener);
        assert!(!ReadyPort::new("web", &[], port).answers(&node.world()));
        assert!(!ReadyPort::new("unknown", &[], port).answers(&node.world()));
    }
}
