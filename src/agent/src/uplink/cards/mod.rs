//! What `/sys` and udev's records tell of the host's network cards.

use super::choice::{Card, View};
use crate::system::device_order;
use crate::system::files;
use crate::system::world::World;

/// The bridge of the host profile.
pub const BRIDGE: &str = "br0";
const CONFIG: &str = "/etc/systemd/network";
/// ARPHRD_ETHER, linux/if_arp.h.
const ETHERNET: &str = "1";

/// What a look at the network cards gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// The wired cards.
    Cards(View),
    /// Others care for the bridge: who, in words.
    Left(String),
}

/// `ours` is the card that we put into the bridge.
pub fn look(world: &World<'_>, ours: Option<&str>) -> Look {
    if let Some(file) = files::names(&world.at(CONFIG)).iter().find(|name| name.ends_with(".network")) {
        return Look::Left(format!("{CONFIG}/{file} is there"));
    }
    let mut cards = Vec::new();
    for name in files::names(&world.at("/sys/class/net")) {
        if !is_wired(world, &name) {
            continue;
        }
        let master = target_name(world, &format!("/sys/class/net/{name}/master"));
        match master.as_deref() {
            Some(BRIDGE) if ours != Some(&name) => return Look::Left(format!("{name} is in it already")),
            None | Some(BRIDGE) if is_ready(world, &name) => {
                let cable = world.line(format!("/sys/class/net/{name}/carrier")).as_deref() == Some("1");
                let at = cards.partition_point(|card: &Card| device_order::compare(&card.name, &name).is_lt());
                cards.insert(at, Card { name, cable });
            }
            // Somebody else's, or about to get another name.
            _ => {}
        }
    }
    Look::Cards(View { cards, settled: !world.at("/run/udev/queue").exists() })
}

/// Ethernet, of a device: no radio, no guest's card seen from the host, no
/// virtual function, which shares the cable of its card and is for guests.
fn is_wired(world: &World<'_>, name: &str) -> bool {
    let at = |path: &str| format!("/sys/class/net/{name}/{path}");
    let there = |path: &str| world.at(at(path)).exists();
    there("device")
        && world.line(at("type")).as_deref() == Some(ETHERNET)
        && !there("phy80211")
        && !there("wireless")
        && !there("device/physfn")
        && target_name(world, &at("device/subsystem")).as_deref() != Some("xen-backend")
}

/// udev has processed the card and gives it no other name.
fn is_ready(world: &World<'_>, name: &str) -> bool {
    let Some(index) = world.line(format!("/sys/class/net/{name}/ifindex")) else { return false };
    let Ok(record) = std::fs::read_to_string(world.at(format!("/run/udev/data/n{index}"))) else { return false };
    record.lines().any(|line| line.starts_with("I:")) && !record.lines().any(|line| line == "E:ID_RENAMING=1")
}

fn target_name(world: &World<'_>, link: &str) -> Option<String> {
    let target = std::fs::read_link(world.at(link)).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
pub(crate) mod tests;
