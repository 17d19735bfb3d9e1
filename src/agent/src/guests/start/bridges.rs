//! Waits for bridges that the host is still making. systemd-networkd reports that it is ready before it has made its
//! devices, and a guest that is refused for a missing bridge is not started again.

use crate::system::world::World;
use appliance_contract::guest::GuestConfig;
use std::io;
use std::time::{Duration, Instant};

/// How long a missing bridge may take to appear.
pub const BOUND: Duration = Duration::from_secs(10);

/// Whether an interface of `config` is missing.
pub fn missing(world: &World<'_>, config: &GuestConfig) -> bool {
    config.networks.iter().any(|card| !world.at(format!("/sys/class/net/{}", card.bridge.as_str())).exists())
}

/// Until no interface is missing, or for `bound`. `wait` returns at a change of links, or after the time given.
pub fn appear(
    world: &World<'_>,
    config: &GuestConfig,
    bound: Duration,
    wait: &mut dyn FnMut(Duration) -> io::Result<()>,
) -> io::Result<()> {
    let begun = Instant::now();
    while missing(world, config) {
        let Some(rest) = bound.checked_sub(begun.elapsed()).filter(|rest| !rest.is_zero()) else { break };
        wait(rest)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::tests::Node;

    fn config() -> GuestConfig {
        let text = "schema = 1\nimage = \"web\"\nmemory = \"64M\"\n[[network]]\nbridge = \"br0\"\n[[network]]\nbridge = \"br1\"\n";
        GuestConfig::parse(text).unwrap()
    }

    #[test]
    fn bridges_that_appear_end_the_wait() {
        let node = Node::new();
        let mut turns = 0;
        let mut wait = |_| {
            node.file(&format!("/sys/class/net/br{turns}/bridge/bridge_id"), b"");
            turns += 1;
            Ok(())
        };
        appear(&node.world(), &config(), BOUND, &mut wait).unwrap();
        assert_eq!(turns, 2);
        assert!(!missing(&node.world(), &config()));
    }

    #[test]
    fn bridges_that_do_not_appear_are_waited_for_within_the_bound() {
        let node = Node::new();
        let bound = Duration::from_millis(20);
        let mut wait = |rest: Duration| {
            assert!(rest <= bound);
            std::thread::sleep(rest);
            Ok(())
        };
        appear(&node.world(), &config(), bound, &mut wait).unwrap();
        assert!(missing(&node.world(), &config()));
        let error = appear(&node.world(), &config(), BOUND, &mut |_| Err(io::ErrorKind::Other.into())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Other);
    }
}
