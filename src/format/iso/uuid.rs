//! The UUID of an ISO 9660 volume.

use appliance_contract::Sha256;
use hadris_fs::{CivilDate, CivilTime, DateTime};
use std::fmt;

/// What blkid, udev and GRUB call the UUID of an ISO 9660 volume: the digits
/// of its modification date (ECMA-119, 8.4.27).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VolumeUuid {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    hundredths: u8,
}

impl VolumeUuid {
    /// A date that is valid in each month, drawn by `hash`.
    pub fn from_hash(hash: Sha256) -> Self {
        let hash = hash.as_bytes();
        let mut rest = u128::from_be_bytes(std::array::from_fn(|index| hash[index]));
        let mut draw = |limit: u128| {
            let drawn = rest % limit;
            rest /= limit;
            drawn as u8
        };
        Self {
            year: 1980 + u16::from(draw(120)),
            month: 1 + draw(12),
            day: 1 + draw(28),
            hour: draw(24),
            minute: draw(60),
            second: draw(60),
            hundredths: draw(100),
        }
    }

    /// The date as the volume descriptor holds it.
    pub(super) fn date(self) -> Result<DateTime, hadris_fs::DateTimeError> {
        let date = CivilDate::new(self.year.into(), self.month, self.day)?;
        let time = CivilTime::new(self.hour, self.minute, self.second)?;
        DateTime::from_civil(date, time, None)?.with_nanoseconds(u32::from(self.hundredths) * 10_000_000)
    }
}

impl fmt::Display for VolumeUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, hundredths } = self;
        write!(f, "{year:04}-{month:02}-{day:02}-{hour:02}-{minute:02}-{second:02}-{hundredths:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_hash_gives_a_valid_date(hash: [u8; 32]) {
            let uuid = VolumeUuid::from_hash(hash.into());
            prop_assert!(uuid.date().is_ok());
            prop_assert_eq!(uuid.to_string().len(), 22);
        }
    }
}
