use super::super::cards::tests::Cards;
use super::*;
use crate::guests::tests::Node;
use std::cell::Cell;

type Event<'a> = &'a dyn Fn(&Cards<'_>);

/// Runs the service on `node`. Each wait ends with the next event, or after its time where there is `None`; one
/// more than there are ends the run.
fn run_with(node: &Node, events: &[Option<Event<'_>>]) -> (Result<(), UplinkError>, String) {
    let clock = Cell::new(Duration::ZERO);
    let mut events = events.iter();
    let mut out = Vec::new();
    let mut wait = |bound: Option<Duration>| match events.next() {
        Some(Some(event)) => {
            clock.set(clock.get() + Duration::from_millis(200));
            event(&Cards(node));
            Ok(())
        }
        Some(None) => {
            clock.set(clock.get() + bound.expect("nothing happens, and no time was given"));
            Ok(())
        }
        None => Err(io::ErrorKind::TimedOut.into()),
    };
    let now = || clock.get();
    let mut setting = Setting { world: &node.world(), wait: &mut wait, now: &now, out: &mut out };
    let result = run(&mut setting);
    (result, String::from_utf8(out).unwrap())
}

fn node() -> Node {
    let node = Node::new();
    node.programs.answer("ip link set", 0, "");
    node.programs.answer("networkctl reload", 0, "");
    node
}

fn calls(node: &Node) -> Vec<String> {
    node.programs.calls.borrow().iter().map(|call| call.replace("ip link set dev ", "")).collect()
}

fn file(node: &Node) -> Option<String> {
    fs::read_to_string(node.at(FILE)).ok()
}

#[test]
fn the_card_of_the_made_up_machine_is_put_into_the_bridge() {
    let node = node();
    let cards = Cards(&node);
    cards.card("ens10", 2, "pci");
    cards.card("ens9", 3, "pci");
    let (result, said) =
        run_with(&node, &[Some(&|cards| cards.cable("ens9", false)), Some(&|cards| cards.cable("ens10", true)), None]);
    result.unwrap();
    assert_eq!(said, "appliance: network: ens10 is in br0\n");
    let up = |card| format!("{card} addrgenmode none up");
    assert_eq!(
        calls(&node),
        [up("ens9"), up("ens10"), "networkctl reload".into(), "ens9 addrgenmode eui64 down".into()]
    );
    let text = "[Match]\nName=ens10\n\n[Network]\nBridge=br0\nLinkLocalAddressing=no\n\n[Link]\nRequiredForOnline=no\n";
    assert_eq!(file(&node).as_deref(), Some(text));
    assert_eq!(crate::system::files::names(&node.at("/run/systemd/network")), ["70-appliance-uplink.network"]);
}

#[test]
fn a_machine_without_a_card_waits_for_one_without_a_bound() {
    let node = node();
    let late = |cards: &Cards<'_>| {
        cards.card("eth0", 2, "pci");
        cards.0.file("/run/udev/data/n2", b"I:1\nE:ID_RENAMING=1\n");
    };
    let renamed = |cards: &Cards<'_>| {
        fs::rename(cards.0.at("/sys/class/net/eth0"), cards.0.at("/sys/class/net/enp7s0")).unwrap();
        cards.0.file("/run/udev/data/n2", b"I:1\n");
    };
    let (result, said) = run_with(&node, &[Some(&late), Some(&renamed), Some(&|cards| cards.cable("enp7s0", true))]);
    result.unwrap();
    let expected = "there is no wired card yet, br0 waits for one\nenp7s0 is in br0; it has no cable yet\n";
    assert_eq!(said.replace("appliance: network: ", ""), expected);
}

#[test]
fn a_card_that_gets_a_cable_takes_the_place_of_one_that_has_none() {
    let node = node();
    let cards = Cards(&node);
    cards.card("eno1", 2, "pci");
    cards.card("eno2", 3, "pci");
    let bridged = |cards: &Cards<'_>| cards.master("eno1", "br0");
    let (result, said) = run_with(&node, &[None, Some(&bridged), Some(&|cards| cards.cable("eno2", true)), None]);
    result.unwrap();
    let expected = "eno1 is in br0; it has no cable yet\neno2 is in br0 in the place of eno1, which has no cable\n";
    assert_eq!(said.replace("appliance: network: ", ""), expected);
    let after: Vec<String> = calls(&node).split_off(2);
    let expected =
        ["networkctl reload", "networkctl reload", "eno1 nomaster", "networkctl reload", "eno1 addrgenmode eui64 down"];
    assert_eq!(after, expected, "networkd lets the old card go, then it leaves, then the new one enters");
}

#[test]
fn a_card_that_cannot_leave_the_bridge_keeps_the_other_out() {
    let node = node();
    node.programs.answer("ip link set dev eno1 nomaster", 2, "");
    let cards = Cards(&node);
    cards.card("eno1", 2, "pci");
    cards.card("eno2", 3, "pci");
    let (result, _) = run_with(&node, &[None, Some(&|cards| cards.cable("eno2", true)), None]);
    let error = result.unwrap_err().to_string();
    assert_eq!(error, "running ip link set dev eno1 nomaster: exit status 2");
    assert_eq!(file(&node).unwrap(), "[Match]\nName=eno1\n\n[Link]\nUnmanaged=yes\n");
}

#[test]
fn what_networkd_has_not_heard_of_is_not_chosen() {
    let node = node();
    node.programs.answer("networkctl reload", 1, "");
    Cards(&node).card("eno1", 2, "pci");
    let (result, said) = run_with(&node, &[]);
    assert_eq!(result.unwrap_err().to_string(), "running networkctl reload: exit status 1");
    assert_eq!((said.as_str(), file(&node)), ("", None));
    // Nor is what cannot be written.
    node.file("/run/systemd/network/70-appliance-uplink.new/x", b"");
    let error = run_with(&node, &[]).0.unwrap_err().to_string();
    assert!(
        error.starts_with("writing ") && error.contains("70-appliance-uplink.network, which configures eno1: "),
        "{error}"
    );
}

#[test]
fn a_restart_keeps_the_card_and_does_nothing() {
    let node = node();
    let cards = Cards(&node);
    node.file(FILE, b"[Match]\nName=eno2\n");
    for (index, name) in [(2, "eno1"), (3, "eno2")] {
        cards.card(name, index, "pci");
        cards.cable(name, true);
    }
    cards.master("eno2", "br0");
    let (result, said) = run_with(&node, &[]);
    result.unwrap();
    assert_eq!((said.as_str(), calls(&node).len()), ("", 0));
}

#[test]
fn what_the_config_or_an_operator_does_is_left_alone() {
    let node = node();
    let cards = Cards(&node);
    cards.card("eno1", 2, "pci");
    cards.card("eno2", 3, "pci");
    let config = |cards: &Cards<'_>| cards.0.file("/etc/systemd/network/lan.network", b"");
    let (result, said) = run_with(&node, &[Some(&config)]);
    result.unwrap();
    assert_eq!(said, "appliance: network: /etc/systemd/network/lan.network is there, so br0 is left alone\n");
    assert_eq!(file(&node), None);
}

#[test]
fn a_card_that_cannot_be_set_up_counts_as_one_without_a_cable() {
    let node = node();
    node.programs.answer("ip link set dev eno1", 2, "");
    let cards = Cards(&node);
    cards.card("eno1", 2, "pci");
    cards.card("eno2", 3, "pci");
    let (result, said) = run_with(&node, &[Some(&|cards| cards.cable("eno2", true)), None]);
    result.unwrap();
    assert!(said.contains("running ip link set dev eno1 addrgenmode none up: exit status 2\n"), "{said}");
    assert!(said.contains("eno2 is in br0\n"), "{said}");
}
