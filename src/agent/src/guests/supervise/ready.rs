//! A guest that is ready when it answers on a TCP port.

use crate::guests::plan::PlanCard;
use crate::system::world::World;
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream};
use std::time::{Duration, Instant};

/// Between two attempts, and how long one waits for the answer of a neighbour.
const PAUSE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_millis(500);

/// The TCP port on which a ready guest answers.
#[derive(Debug)]
pub struct ReadyPort<'a> {
    guest: &'a str,
    cards: &'a [PlanCard],
    port: u16,
    last: Cell<Option<Instant>>,
    /// Why the last attempt was none.
    failure: RefCell<String>,
}

impl<'a> ReadyPort<'a> {
    /// Nothing has been asked yet.
    pub fn new(guest: &'a str, cards: &'a [PlanCard], port: u16) -> Self {
        let failure = RefCell::new(format!("port {port} was not tried yet"));
        Self { guest, cards, port, last: Cell::new(None), failure }
    }

    /// Asks now and then.
    pub fn answers(&self, world: &World<'_>) -> bool {
        if self.last.get().is_some_and(|last| last.elapsed() < PAUSE) {
            return false;
        }
        self.last.set(Some(Instant::now()));
        let hosts = std::fs::read_to_string(world.at("/etc/hosts")).unwrap_or_default();
        let mut addresses = by_name(&hosts, self.guest);
        let named = !addresses.is_empty();
        if !named {
            addresses = self.by_cards(world);
        }
        let mut failure = "no address of its cards is known".to_owned();
        for mut address in addresses {
            address.set_port(self.port);
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(_) => return true,
                Err(error) => failure = error.to_string(),
            }
        }
        let unnamed = if named { "" } else { "/etc/hosts does not name the guest; " };
        self.failure.replace(format!("port {}: {unnamed}{failure}", self.port));
        false
    }

    /// What came of the last attempt that failed.
    pub fn failure(&self) -> String {
        self.failure.borrow().clone()
    }

    /// What the neighbours' table says of its cards, and the link-local addresses that Linux derives from theirs.
    fn by_cards(&self, world: &World<'_>) -> Vec<SocketAddr> {
        let neighbours = std::fs::read_to_string(world.at("/proc/net/arp")).unwrap_or_default();
        let mut found = Vec::new();
        for card in self.cards {
            found.extend(by_mac(&neighbours, &card.mac).map(|address| SocketAddr::new(address, 0)));
            let index = world.line(format!("/sys/class/net/{}/ifindex", card.bridge));
            let index = index.and_then(|index| index.parse().ok());
            let local = link_local(&card.mac).zip(index);
            found.extend(local.map(|(address, index)| SocketAddr::from(SocketAddrV6::new(address, 0, 0, index))));
        }
        found
    }
}

/// All that /etc/hosts has for the name, without a port.
fn by_name(hosts: &str, name: &str) -> Vec<SocketAddr> {
    let address = |line: &str| {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then(|| SocketAddr::new(address, 0))
    };
    hosts.lines().filter_map(address).collect()
}

/// proc_pid_net(5), arp: the address is the first field, the hardware's the fourth.
fn by_mac(neighbours: &str, mac: &str) -> Option<IpAddr> {
    neighbours.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        fields.get(3)?.eq_ignore_ascii_case(mac).then(|| fields[0].parse().ok())?
    })
}

/// Of a card's address, by its modified EUI-64 (RFC 4291, 2.5.6 and appendix A).
fn link_local(mac: &str) -> Option<Ipv6Addr> {
    let mut bytes = [0; 6];
    let mut parts = mac.split(':');
    for byte in &mut bytes {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    let [a, b, c, d, e, f] = bytes;
    Some(Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::tests::Node;
    use appliance_contract::guest::CardModel;
    use std::net::TcpListener;

    fn card(mac: &str) -> PlanCard {
        PlanCard { bridge: "br0".into(), mac: mac.into(), model: CardModel::Virtio, interface: "g.0".into() }
    }

    #[test]
    fn a_guest_is_found_by_name_or_by_its_card() {
        let hosts = "# web\n10.0.0.1 other\n10.0.0.2 web.example Web # x\nfd00::2 web\n";
        assert_eq!(by_name(hosts, "web"), ["10.0.0.2:0".parse().unwrap(), "[fd00::2]:0".parse().unwrap()]);
        assert!(by_name(hosts, "x").is_empty());
        let arp = "IP address HW type Flags HW address Mask Device\n10.0.0.3 0x1 0x2 02:00:00:00:00:0A * br0\n";
        assert_eq!(by_mac(arp, "02:00:00:00:00:0a"), "10.0.0.3".parse().ok());
        assert_eq!(by_mac(arp, "02:00:00:00:00:0b"), None);
        assert_eq!(link_local("52:54:00:12:34:56"), "fe80::5054:ff:fe12:3456".parse().ok());
        assert_eq!(link_local("52:54:00:12:34"), None);
    }

    #[test]
    fn a_guest_that_the_hosts_file_does_not_name_is_asked_at_its_cards() {
        let node = Node::new();
        let cards = [card("02:00:00:00:00:0a")];
        let port = ReadyPort::new("web", &cards, 80);
        assert!(port.by_cards(&node.world()).is_empty());
        node.file("/sys/class/net/br0/ifindex", b"7\n");
        assert_eq!(port.by_cards(&node.world()), ["[fe80::ff:fe00:a%7]:0".parse().unwrap()]);
        node.file("/proc/net/arp", b"IP address\n10.0.0.3 0x1 0x2 02:00:00:00:00:0a * br0\n");
        let both = ["10.0.0.3:0".parse().unwrap(), "[fe80::ff:fe00:a%7]:0".parse().unwrap()];
        assert_eq!(port.by_cards(&node.world()), both);
    }

    #[test]
    fn it_is_ready_when_it_answers_and_else_says_why_not() {
        let node = Node::new();
        node.file("/etc/hosts", b"127.0.0.1 web\n");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(ReadyPort::new("web", &[], port).answers(&node.world()));
        drop(listener);
        let closed = ReadyPort::new("web", &[], port);
        assert!(!closed.answers(&node.world()));
        assert!(closed.failure().starts_with(&format!("port {port}: Connection refused")), "{}", closed.failure());
        let unknown = ReadyPort::new("unknown", &[], port);
        assert!(!unknown.answers(&node.world()));
        let expected = format!("port {port}: /etc/hosts does not name the guest; no address of its cards is known");
        assert_eq!(unknown.failure(), expected);
    }
}
