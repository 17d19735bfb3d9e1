//! A SHA-256 hash as a value. This crate parses and prints it; whoever reads the bytes computes it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const SIZE: usize = 32;

/// A SHA-256 hash. Its text form is 64 hexadecimal digits: lower case when printed, either case when parsed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256([u8; SIZE]);

/// A text that is not a SHA-256 hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {found:?}, expected a SHA-256: 64 hexadecimal digits")]
pub struct Sha256Error {
    /// The text.
    pub found: String,
}

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
        parse(text.as_bytes()).map(Self).ok_or_else(|| Sha256Error { found: text.to_owned() })
    }
}

fn parse(digits: &[u8]) -> Option<[u8; SIZE]> {
    if digits.len() != 2 * SIZE {
        return None;
    }
    let mut hash = [0; SIZE];
    for (place, digit) in digits.iter().enumerate() {
        hash[place / 2] = hash[place / 2] << 4 | char::from(*digit).to_digit(16)? as u8;
    }
    Some(hash)
}

impl TryFrom<String> for Sha256 {
    type Error = Sha256Error;

    fn try_from(text: String) -> Result<Self, Sha256Error> {
        text.parse()
    }
}

impl From<Sha256> for String {
    fn from(hash: Sha256) -> Self {
        hash.to_string()
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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
            assert!(bad.parse::<Sha256>().is_err(), "{bad}");
            let error = serde_json::from_value::<Sha256>(bad.into()).unwrap_err().to_string();
            assert!(error.contains("expected a SHA-256: 64 hexadecimal digits"), "{error}");
        }
        assert!(serde_json::from_str::<Sha256>("7").is_err());
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
