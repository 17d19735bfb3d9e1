//! When to probe the devices: at once, on every change, and periodically, because a device may become readable without
//! an event (a disc is inserted, a disk has spun up). Whether a probe is the first does not depend on the clock.

use super::Boot;
use super::blocks::Survey;
use std::time::Duration;

/// The interval between probes while nothing changes.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Decides during a wait whether a probe is due.
#[derive(Debug, Default)]
pub struct ProbeSchedule {
    /// `None` before the first probe.
    last: Option<Duration>,
    changed: bool,
}

impl ProbeSchedule {
    /// Polls for devices that appeared or left. Stays true until [`Self::record_probe`].
    pub fn is_due(&mut self, boot: &mut Boot<'_>) -> bool {
        self.changed |= boot.poll();
        let now = boot.machine.uptime();
        self.changed || self.last.is_none_or(|last| now.saturating_sub(last) >= LOOK_AGAIN)
    }

    /// Records that a probe was done.
    pub fn record_probe(&mut self, boot: &Boot<'_>) {
        self.changed = false;
        self.last = Some(boot.machine.uptime());
    }
}

/// Used while a shell is open: detects that the devices differ from what the failed step saw.
#[derive(Debug, Default)]
pub struct DeviceWatch {
    schedule: ProbeSchedule,
    last: Vec<String>,
}

impl DeviceWatch {
    /// Returns the devices once per change, after two probes agree: the operator may be creating a file system. Reads
    /// the devices and mounts nothing.
    pub fn change(&mut self, boot: &mut Boot<'_>) -> Option<Survey> {
        if !self.schedule.is_due(boot) || !boot.devices.settled(boot) {
            return None;
        }
        let now = Survey::take(&boot.places);
        self.schedule.record_probe(boot);
        let lines = now.describe();
        let (changed, stable) = (lines != boot.seen, lines == self.last);
        self.last = lines;
        if !changed || !stable {
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
        let mut schedule = ProbeSchedule::default();
        assert!(schedule.is_due(&mut boot), "the first look needs no change");
        assert!(schedule.is_due(&mut boot), "and stays due until it is done");
        schedule.record_probe(&boot);
        assert!(!schedule.is_due(&mut boot));
        world.disk("vdb", &[], b"");
        assert!(schedule.is_due(&mut boot) && schedule.is_due(&mut boot), "a change");
        schedule.record_probe(&boot);
        assert!(!schedule.is_due(&mut boot));
        boot.machine.sleep(LOOK_AGAIN);
        assert!(schedule.is_due(&mut boot), "now and then");
    }

    #[test]
    fn a_watch_tells_of_each_change_once_and_not_of_what_a_step_saw() {
        let world = World::new();
        world.clock_ticks(Duration::from_millis(10));
        world.disk("vda", &[], b"");
        let index = world.index(&[]);
        let mut boot = world.boot(&index);
        boot.seen = Survey::take(&boot.places).describe();
        // Between the step's last probe and the first of the watch.
        world.ext4("vda", &[]);
        world.at(Duration::from_secs(20), |world| world.content("vda", &[0; 4096]));
        let mut watch = DeviceWatch::default();
        let mut changes = Vec::new();
        for _ in 0..160 {
            changes.extend(watch.change(&mut boot));
            boot.machine.sleep(Duration::from_millis(250));
        }
        let kinds: Vec<bool> = changes.iter().map(|survey| survey.results[0].file_system().is_some()).collect();
        assert_eq!(kinds, [true, false]);
    }
}
