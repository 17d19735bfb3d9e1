//! When to look at what is on the devices: at once, on every change, and again now and then, as a device may become
//! readable without an event (a disc is put in, a disk has spun up). No wait asks the clock whether it has just begun.

use super::Boot;
use super::blocks::Survey;
use std::time::Duration;

/// Between two looks where nothing changes.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Of a wait: whether a look is due.
#[derive(Debug, Default)]
pub struct Lookout {
    /// `None` before the first look.
    last: Option<Duration>,
    changed: bool,
}

impl Lookout {
    /// Asks for devices that came or went. Says the same until [`Self::looked`].
    pub fn is_due(&mut self, boot: &mut Boot<'_>) -> bool {
        self.changed |= boot.poll();
        let now = boot.machine.uptime();
        self.changed || self.last.is_none_or(|last| now.saturating_sub(last) >= LOOK_AGAIN)
    }

    /// A look has been done.
    pub fn looked(&mut self, boot: &Boot<'_>) {
        self.changed = false;
        self.last = Some(boot.machine.uptime());
    }
}

/// For the time a shell is open: notices that the devices are no longer what the failed step saw.
#[derive(Debug, Default)]
pub struct Watch {
    lookout: Lookout,
    last: Vec<String>,
}

impl Watch {
    /// What there is now, once for each change, when two looks agree: the operator may be making a file system. Reads
    /// the devices and mounts nothing.
    pub fn change(&mut self, boot: &mut Boot<'_>) -> Option<Survey> {
        if !self.lookout.is_due(boot) || !boot.devices.settled(boot) {
            return None;
        }
        let now = Survey::take(&boot.places);
        self.lookout.looked(boot);
        let lines = now.describe();
        let (news, stands) = (lines != boot.seen, lines == self.last);
        self.last = lines;
        if !news || !stands {
            return None;
        }
        boot.seen.clone_from(&self.last);
        Some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::tests::World;

    #[test]
    fn a_look_is_due_at_once_on_a_change_and_now_and_then() {
        let world = World::new();
        world.clock_ticks(Duration::from_millis(10));
        world.disk("vda", &[], b"");
        let index = world.index(&[]);
        let mut boot = world.boot(&index);
        boot.poll();
        let mut lookout = Lookout::default();
        assert!(lookout.is_due(&mut boot), "the first look needs no change");
        assert!(lookout.is_due(&mut boot), "and stays due until it is done");
        lookout.looked(&boot);
        assert!(!lookout.is_due(&mut boot));
        world.disk("vdb", &[], b"");
        assert!(lookout.is_due(&mut boot) && lookout.is_due(&mut boot), "a change");
        lookout.looked(&boot);
        assert!(!lookout.is_due(&mut boot));
        boot.machine.sleep(LOOK_AGAIN);
        assert!(lookout.is_due(&mut boot), "now and then");
    }

    #[test]
    fn a_watch_tells_of_each_change_once_and_not_of_what_a_step_saw() {
        let world = World::new();
        world.clock_ticks(Duration::from_millis(10));
        world.disk("vda", &[], b"");
        let index = world.index(&[]);
        let mut boot = world.boot(&index);
        boot.seen = Survey::take(&boot.places).describe();
        // Between the step's last look and the first of the watch.
        world.ext4("vda", &[]);
        world.at(Duration::from_secs(20), |world| world.content("vda", &[0; 4096]));
        let mut watch = Watch::default();
        let mut changes = Vec::new();
        for _ in 0..160 {
            changes.extend(watch.change(&mut boot));
            boot.machine.sleep(Duration::from_millis(250));
        }
        let kinds: Vec<bool> = changes.iter().map(|survey| survey.looks[0].file_system().is_some()).collect();
        assert_eq!(kinds, [true, false]);
    }
}
