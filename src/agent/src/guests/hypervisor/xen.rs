//! Domains, through xl.

use crate::system::programs::Output;
use crate::system::world::World;
use std::io;

/// xl waits for ever where xenstored does not answer.
const PATIENCE: &str = "30";

fn xl(world: &World<'_>, arguments: &[&str]) -> io::Result<Output> {
    world.programs.run("timeout", &[&[PATIENCE, "xl"], arguments].concat())
}

/// The number of the domain of that name.
pub fn domain(world: &World<'_>, name: &str) -> io::Result<Option<u32>> {
    let output = xl(world, &["domid", name])?;
    Ok(output.stdout.trim().parse().ok().filter(|_| output.is_well()))
}

/// Ends a domain at once; one that is gone is as good.
pub fn destroy(world: &World<'_>, name: &str) -> io::Result<()> {
    let output = xl(world, &["destroy", name])?;
    if output.is_well() || domain(world, name)?.is_none() {
        return Ok(());
    }
    Err(io::Error::other(format!("xl destroy: {}", output.complaint())))
}

/// Asks a domain to power off.
pub fn shutdown(world: &World<'_>, name: &str) -> io::Result<()> {
    let output = xl(world, &["shutdown", name])?;
    if output.is_well() { Ok(()) } else { Err(io::Error::other(format!("xl shutdown: {}", output.complaint()))) }
}

/// What the machine can do for guests.
pub fn virt_caps(world: &World<'_>) -> io::Result<String> {
    let output = xl(world, &["info", "virt_caps"])?;
    if output.is_well() { Ok(output.stdout) } else { Err(io::Error::other(format!("xl info: {}", output.complaint()))) }
}

/// The terminal of a domain's console, once xenconsoled has made it.
pub fn console(world: &World<'_>, domain: u32) -> io::Result<Option<String>> {
    let key = format!("/local/domain/{domain}/console/tty");
    let output = world.programs.run("timeout", &[PATIENCE, "xenstore-read", &key])?;
    Ok(Some(output.stdout.trim().to_owned()).filter(|path| output.is_well() && path.starts_with("/dev/")))
}

/// How a domain ended (xen/include/public/sched.h), as `xl create -F` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It powered off.
    PowerOff,
    /// It wants to be started again.
    Reboot,
    /// It crashed.
    Crash,
    /// Its watchdog ended it.
    Watchdog,
    /// Another code of `sched.h`.
    Other(u32),
}

/// From a line such as `Domain 3 has shut down, reason code 0 0x0`.
pub fn reason(line: &str) -> Option<Reason> {
    let (_, rest) = line.split_once("has shut down, reason code ")?;
    Some(match rest.split_ascii_whitespace().next()?.parse().ok()? {
        0 => Reason::PowerOff,
        1 => Reason::Reboot,
        3 => Reason::Crash,
        4 => Reason::Watchdog,
        other => Reason::Other(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::tests::Node;

    #[test]
    fn a_domain_is_found_by_its_name() {
        let node = Node::new();
        let world = node.world();
        node.programs.answer("timeout 30 xl domid web", 0, "7\n");
        node.programs.answer("timeout 30 xl domid db", 1, "db is an invalid domain identifier");
        assert_eq!(domain(&world, "web").unwrap(), Some(7));
        assert_eq!(domain(&world, "db").unwrap(), None);
        node.programs.answer("timeout 30 xenstore-read /local/domain/7/console/tty", 0, "/dev/pts/3\n");
        assert_eq!(console(&world, 7).unwrap().as_deref(), Some("/dev/pts/3"));
    }

    #[test]
    fn a_domain_that_is_gone_is_destroyed() {
        let node = Node::new();
        node.programs.answer("timeout 30 xl destroy web", 1, "gone");
        node.programs.answer("timeout 30 xl domid web", 1, "");
        destroy(&node.world(), "web").unwrap();
        node.programs.answer("timeout 30 xl domid web", 0, "7");
        assert_eq!(destroy(&node.world(), "web").unwrap_err().to_string(), "xl destroy: gone");
    }

    #[test]
    fn the_reason_is_read_from_xls_words() {
        assert_eq!(reason("Domain 3 has shut down, reason code 0 0x0"), Some(Reason::PowerOff));
        assert_eq!(reason("Domain 3 has shut down, reason code 3 0x3"), Some(Reason::Crash));
        assert_eq!(reason("Domain 3 has shut down, reason code 5 0x5"), Some(Reason::Other(5)));
        assert_eq!(reason("Parsing config from x"), None);
    }
}
