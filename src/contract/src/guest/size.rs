//! Sizes of memory and disks in a `guest.toml`.

use serde::{Deserialize, Serialize};

const UNITS: [(char, u32); 4] = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];

/// An amount of bytes, not 0: a whole number and K, M, G or T, each 1024 times the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^[1-9][0-9]*[KMGT]$")))]
#[serde(try_from = "String", into = "String")]
pub struct Size(u64);

/// A guest's memory: whole mebibytes, 16 at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = "^[1-9][0-9]*[KMGT]$")))]
#[serde(try_from = "String", into = "String")]
pub struct Memory(u64);

/// Why a text is no size.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant says in its message what it means")]
pub enum SizeError {
    #[error("found {found:?}, expected a whole number and K, M, G or T, as in \"256M\"")]
    Form { found: String },
    #[error("found {found:?}, which is more than can be counted, expected less than 16777216T")]
    TooLarge { found: String },
    #[error("found {found:?}, expected whole mebibytes, as in \"256M\", and 16M at least")]
    Memory { found: String },
}

impl Size {
    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl Memory {
    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        self.0 << 20
    }

    /// The size in MiB.
    pub fn mebibytes(self) -> u64 {
        self.0
    }
}

impl TryFrom<String> for Size {
    type Error = SizeError;

    fn try_from(found: String) -> Result<Self, SizeError> {
        let unit = UNITS.iter().find(|(letter, _)| found.ends_with(*letter));
        let Some(&(letter, shift)) = unit else { return Err(SizeError::Form { found }) };
        let digits = found.trim_end_matches(letter);
        // One unit letter, and no sign or leading nought that `parse` would take.
        let good = digits.len() + 1 == found.len()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && digits.bytes().next().is_some_and(|first| first != b'0');
        if !good {
            return Err(SizeError::Form { found });
        }
        let bytes = digits.parse().ok().and_then(|number: u64| number.checked_mul(1 << shift));
        bytes.map(Self).ok_or(SizeError::TooLarge { found })
    }
}

impl TryFrom<String> for Memory {
    type Error = SizeError;

    fn try_from(found: String) -> Result<Self, SizeError> {
        let bytes = Size::try_from(found.clone())?.0;
        if bytes.is_multiple_of(1 << 20) && bytes >= 16 << 20 {
            Ok(Self(bytes >> 20))
        } else {
            Err(SizeError::Memory { found })
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = UNITS.iter().find(|(_, shift)| self.0.is_multiple_of(1 << shift));
        match whole {
            Some((letter, shift)) => write!(f, "{}{letter}", self.0 >> shift),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}M", self.0)
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

impl From<Memory> for String {
    fn from(memory: Memory) -> Self {
        memory.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> Result<Size, SizeError> {
        text.to_owned().try_into()
    }

    fn memory(text: &str) -> Result<Memory, SizeError> {
        text.to_owned().try_into()
    }

    #[test]
    fn units_are_powers_of_1024() {
        assert_eq!(size("10G").unwrap().bytes(), 10 << 30);
        assert_eq!(size("10G").unwrap().to_string(), "10G");
        assert_eq!(memory("1G").unwrap().mebibytes(), 1024);
        assert_eq!(memory("262144K").unwrap().to_string(), "256M");
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in ["", "M", "256", "0M", "+1M", "-1M", "1.5G", "1GB", "1 G", "1MM", "01M", "1m", "ä1M"] {
            assert!(matches!(size(bad), Err(SizeError::Form { .. })), "{bad}");
        }
        assert!(matches!(size("16777216T"), Err(SizeError::TooLarge { .. })));
        assert!(matches!(size("99999999999999999999K"), Err(SizeError::TooLarge { .. })));
        for bad in ["1K", "15M", "16385K"] {
            assert!(matches!(memory(bad), Err(SizeError::Memory { .. })), "{bad}");
        }
    }
}
