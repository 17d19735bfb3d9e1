use super::*;
use crate::guests::tests::Node;
use std::os::unix::fs::symlink;

/// Adds cards to a fake node, as the kernel and udev show them.
pub struct Cards<'a>(pub &'a Node);

impl Cards<'_> {
    pub fn link(&self, name: &str, index: u32, kind: &str) {
        self.0.file(&format!("/sys/class/net/{name}/type"), format!("{kind}\n").as_bytes());
        self.0.file(&format!("/sys/class/net/{name}/ifindex"), format!("{index}\n").as_bytes());
    }

    /// A card that udev has processed, on a bus.
    pub fn card(&self, name: &str, index: u32, bus: &str) {
        self.link(name, index, "1");
        let device = format!("/sys/class/net/{name}/device");
        self.0.file(&format!("{device}/uevent"), b"");
        symlink(format!("../../../../bus/{bus}"), self.0.at(&format!("{device}/subsystem"))).unwrap();
        self.0.file(&format!("/run/udev/data/n{index}"), b"I:4242\nE:ID_BUS=pci\n");
    }

    pub fn cable(&self, name: &str, plugged: bool) {
        self.0.file(&format!("/sys/class/net/{name}/carrier"), if plugged { b"1\n" } else { b"0\n" });
    }

    pub fn master(&self, name: &str, master: &str) {
        symlink(format!("../{master}"), self.0.at(&format!("/sys/class/net/{name}/master"))).unwrap();
    }
}

fn names(node: &Node, ours: Option<&str>) -> Vec<String> {
    match scan(&node.world(), ours) {
        CardScan::Cards(view) => view.cards.into_iter().map(|card| card.name).collect(),
        CardScan::ManagedElsewhere(who) => panic!("{who}"),
    }
}

#[test]
fn only_wired_cards_of_real_devices_count_in_natural_order() {
    let node = Node::new();
    assert_eq!(names(&node, None), [""; 0], "no /sys/class/net at all");
    let cards = Cards(&node);
    for (index, name) in ["ens10", "ens9", "eno1", "eth0"].into_iter().enumerate() {
        cards.card(name, index as u32 + 2, if name == "eth0" { "xen" } else { "pci" });
    }
    // Without a device: the loopback, a bridge, a tap.
    cards.link("lo", 1, "772");
    cards.link("br0", 20, "1");
    cards.link("tap0", 21, "1");
    for (index, name) in [(30, "wlan0"), (31, "wlan1"), (32, "ib0"), (33, "vif1.0"), (34, "eno1v0")] {
        cards.card(name, index, if name == "vif1.0" { "xen-backend" } else { "pci" });
    }
    node.file("/sys/class/net/wlan0/phy80211/index", b"0");
    node.file("/sys/class/net/wlan1/wireless/x", b"");
    node.file("/sys/class/net/ib0/type", b"32\n");
    node.file("/sys/class/net/eno1v0/device/physfn/x", b"");
    assert_eq!(names(&node, None), ["eno1", "ens9", "ens10", "eth0"]);
}

#[test]
fn a_card_counts_once_it_has_its_final_name() {
    let node = Node::new();
    let cards = Cards(&node);
    cards.card("eth0", 2, "pci");
    for record in ["", "E:ID_BUS=pci\n", "I:1\nE:ID_RENAMING=1\n"] {
        node.file("/run/udev/data/n2", record.as_bytes());
        assert_eq!(names(&node, None), [""; 0], "{record:?}");
    }
    std::fs::remove_file(node.at("/run/udev/data/n2")).unwrap();
    assert_eq!(names(&node, None), [""; 0], "udev has not seen it");
    node.file("/run/udev/data/n2", b"I:1\n");
    assert_eq!(names(&node, None), ["eth0"]);
}

#[test]
fn a_card_in_use_elsewhere_is_no_candidate() {
    let node = Node::new();
    let cards = Cards(&node);
    cards.card("eno1", 2, "pci");
    cards.card("eno2", 3, "pci");
    cards.master("eno1", "bond0");
    assert_eq!(names(&node, None), ["eno2"]);
    cards.master("eno2", "br0");
    assert_eq!(names(&node, Some("eno2")), ["eno2"]);
    assert_eq!(scan(&node.world(), None), CardScan::ManagedElsewhere("eno2 is in it already".to_owned()));
}

#[test]
fn a_guests_port_of_the_bridge_is_nobodys_choice() {
    let node = Node::new();
    let cards = Cards(&node);
    cards.card("vif1.0", 9, "xen-backend");
    cards.master("vif1.0", "br0");
    cards.card("eno1", 2, "pci");
    assert_eq!(names(&node, None), ["eno1"]);
}

#[test]
fn a_network_file_of_the_config_leaves_the_bridge_to_it() {
    let node = Node::new();
    Cards(&node).card("eno1", 2, "pci");
    node.file("/etc/systemd/network/10-x.netdev", b"");
    node.file("/etc/systemd/network/10-x.link", b"");
    assert_eq!(names(&node, None), ["eno1"]);
    node.file("/etc/systemd/network/20-x.network", b"");
    let who = "/etc/systemd/network/20-x.network is there".to_owned();
    assert_eq!(scan(&node.world(), Some("eno1")), CardScan::ManagedElsewhere(who));
}

#[test]
fn cables_and_udevs_queue_are_seen() {
    let node = Node::new();
    let cards = Cards(&node);
    cards.card("eno1", 2, "pci");
    cards.card("eno2", 3, "pci");
    cards.card("eno3", 4, "pci");
    cards.cable("eno1", false);
    cards.cable("eno2", true);
    let seen = |settled| {
        let card = |name: &str, cable| Card { name: name.to_owned(), cable };
        CardScan::Cards(View { cards: vec![card("eno1", false), card("eno2", true), card("eno3", false)], settled })
    };
    assert_eq!(scan(&node.world(), None), seen(true));
    node.file("/run/udev/queue", b"");
    assert_eq!(scan(&node.world(), None), seen(false));
}
