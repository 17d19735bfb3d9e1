//! Spans of time in a `guest.toml`.

use serde::{Deserialize, Serialize};
use std::time::Duration;

const UNITS: [(&str, u32); 3] = [("min", 60), ("s", 1), ("h", 3600)];
/// A week: what waits longer waits for ever, and systemd's sums stay far from their bounds.
const LONGEST: u32 = 7 * 24 * 3600;

/// A time to wait: a whole number and s, min or h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^[1-9][0-9]*(s|min|h)$")))]
#[serde(try_from = "String", into = "String")]
pub struct Seconds(u32);

/// A number of seconds out of its range.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("found {found:?}, expected a whole number and s, min or h, as in \"90s\", of a week at most")]
pub struct SecondsError {
    /// The number.
    pub found: String,
}

impl Seconds {
    pub(super) const fn new(seconds: u32) -> Self {
        Self(seconds)
    }

    /// The number of seconds.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The same as a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl TryFrom<String> for Seconds {
    type Error = SecondsError;

    fn try_from(found: String) -> Result<Self, SecondsError> {
        let parsed = UNITS.iter().find_map(|(unit, factor)| {
            let digits = found.strip_suffix(unit)?;
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
            plain.then(|| digits.parse().ok().and_then(|number: u32| number.checked_mul(*factor)))?
        });
        match parsed {
            Some(seconds) if seconds <= LONGEST => Ok(Self(seconds)),
            _ => Err(SecondsError { found }),
        }
    }
}

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}s", self.0)
    }
}

impl From<Seconds> for String {
    fn from(seconds: Seconds) -> Self {
        seconds.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_units_and_refuses_others() {
        for (text, seconds) in [("90s", 90), ("5min", 300), ("2h", 7200)] {
            assert_eq!(Seconds::try_from(text.to_owned()).unwrap().get(), seconds);
        }
        for bad in ["", "90", "s", "0s", "-1s", "1.5h", "1d", "169h", "4294967296s", "71582789min"] {
            Seconds::try_from(bad.to_owned()).unwrap_err();
        }
    }
}
