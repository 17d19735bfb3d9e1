//! When each step of the boot began and how long it took.

use appliance_contract::boot_record::Step;
use std::time::Duration;

/// The times of all steps so far.
#[derive(Debug, Default)]
pub struct Timeline {
    steps: Vec<Step>,
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Timeline {
    /// Notes a step; one that is done again (after a shell, say) is kept once
    /// more, so that the record shows what the boot waited for.
    pub fn note(&mut self, name: &str, started: Duration, ended: Duration) {
        self.steps.push(Step {
            name: name.to_owned(),
            started_ms: milliseconds(started),
            took_ms: milliseconds(ended.saturating_sub(started)),
        });
    }

    /// All steps, in their order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_and_the_durations() {
        let mut timeline = Timeline::default();
        timeline.note("devices", Duration::from_millis(900), Duration::from_millis(2400));
        timeline.note("root", Duration::from_millis(2400), Duration::from_millis(2400));
        let seen: Vec<_> = timeline.steps().iter().map(|s| (s.name.as_str(), s.started_ms, s.took_ms)).collect();
        assert_eq!(seen, [("devices", 900, 1500), ("root", 2400, 0)]);
    }
}
