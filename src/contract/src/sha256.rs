//! A SHA-256 hash as a value. This crate parses and prints it; whoever reads the bytes computes it.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

const SIZE: usize = 32;

/// A SHA-256 hash. Its text form is 64 hexadecimal digits: lower case when printed, either case when parsed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256([u8; SIZE]);

/// A text that is not a SHA-256 hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a SHA-256: 64 hexadecimal digits")]
pub struct Sha256Error;

impl Sha256 {
    /// The bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; SIZE] {
        &self.0
    }
}

impl From<[u8; SIZE]> for Sha256 {
    fn from(bytes: [u8; SIZE]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Sha256 {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Sha256 {
    type Err = Sha256Error;

    fn from_str(text: &str) -> Result<Self, Sha256Error> {
        let digits = text.as_bytes();
        if digits.len() != 2 * SIZE {
            return Err(Sha256Error);
        }
        let mut hash = [0; SIZE];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                let value = char::from(*digit).to_digit(16).ok_or(Sha256Error)?;
                *byte = *byte << 4 | value as u8;
            }
        }
        Ok(Self(hash))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 2 * SIZE];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            for (digit, value) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                *digit = b"0123456789abcdef"[usize::from(value)];
            }
        }
        // `pad` keeps precision and width: `{:.12}` prints the first 12 digits. The digits are ASCII.
        f.pad(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hex;

        impl Visitor<'_> for Hex {
            type Value = Sha256;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a SHA-256: 64 hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Sha256, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_lengths_and_letters_are_refused() {
        let good = "0aF".repeat(21) + "0";
        assert!(good.parse::<Sha256>().is_ok());
        for bad in [
            "",
            &good[..63],
            &format!("{good}0"),
            &format!("{}g", &good[..63]),
            &format!("+{}", &good[..63]),
            &"é".repeat(32),
        ] {
            assert_eq!(bad.parse::<Sha256>(), Err(Sha256Error), "{bad}");
            let error = serde_json::from_value::<Sha256>(bad.into()).unwrap_err().to_string();
            assert!(error.contains("expected a SHA-256: 64 hexadecimal digits"), "{error}");
        }
        assert!(serde_json::from_str::<Sha256>("7").is_err());
    }

    #[test]
    fn a_precision_shortens_it() {
        assert_eq!(format!("{:.5}", Sha256::from([0xab; 32])), "ababa");
    }

    proptest! {
        #[test]
        fn parses_what_it_prints(bytes: [u8; 32]) {
            let hash = Sha256::from(bytes);
            let text = hash.to_string();
            prop_assert_eq!(&text, &bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
            prop_assert_eq!(text.parse(), Ok(hash));
            prop_assert_eq!(text.to_uppercase().parse(), Ok(hash));
            prop_assert_eq!(serde_json::to_value(hash).unwrap(), serde_json::Value::from(text.clone()));
            prop_assert_eq!(serde_json::from_value::<Sha256>(text.into()).unwrap(), hash);
        }
    }
}
