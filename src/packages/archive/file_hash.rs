//! The hash that an archive lists for a file.

use crate::util::sha256;
use appliance_contract::Sha256;
use sha2::Digest as _;
use std::fmt;
use std::str::FromStr;

/// A SHA-512 hash. Its text form is 128 hexadecimal digits: lower case when printed, either case when parsed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sha512([u8; 64]);

/// A text that is not a SHA-512 hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {found:?}, expected a SHA-512: 128 hexadecimal digits")]
pub struct Sha512Error {
    /// The text.
    pub found: String,
}

impl Sha512 {
    /// The hash of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(sha2::Sha512::digest(bytes).into())
    }
}

impl From<[u8; 64]> for Sha512 {
    fn from(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }
}

impl FromStr for Sha512 {
    type Err = Sha512Error;

    fn from_str(text: &str) -> Result<Self, Sha512Error> {
        let mut bytes = [0; 64];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| Sha512Error { found: text.to_owned() })?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Sha512 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha512 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hash that an archive lists for a file: SHA-256, or SHA-512 if it lists no SHA-256. MD5 and SHA-1 are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileHash {
    /// `SHA256`.
    Sha256(Sha256),
    /// `SHA512`.
    Sha512(Sha512),
}

impl FileHash {
    /// Whether `bytes` have this hash.
    pub fn matches(self, bytes: &[u8]) -> bool {
        self.same_of(bytes) == self
    }

    /// The hash of `bytes` by the same algorithm.
    pub fn same_of(self, bytes: &[u8]) -> Self {
        match self {
            Self::Sha256(_) => Self::Sha256(sha256::of(bytes)),
            Self::Sha512(_) => Self::Sha512(Sha512::of(bytes)),
        }
    }

    /// The algorithm's name in the paths of an archive, as in `by-hash/SHA256`.
    pub fn directory(self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA256",
            Self::Sha512(_) => "SHA512",
        }
    }

    /// The hash in hexadecimal digits, without the algorithm's name.
    pub fn digits(self) -> String {
        match self {
            Self::Sha256(hash) => hash.to_string(),
            Self::Sha512(hash) => hash.to_string(),
        }
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(hash) => write!(f, "SHA-256 {hash}"),
            Self::Sha512(hash) => write!(f, "SHA-512 {hash}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_agree_with_fips_180() {
        let abc = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                   2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        let hash = FileHash::Sha512(abc.to_uppercase().parse().unwrap());
        assert!(hash.matches(b"abc") && !hash.matches(b"abd"));
        assert_eq!(hash.to_string(), format!("SHA-512 {abc}"));
        let shorter = FileHash::Sha256(sha256::of("abc"));
        assert_eq!(shorter.same_of(b"abc"), shorter);
        assert!(shorter.matches(b"abc") && !shorter.matches(b"abd"));
    }

    #[test]
    fn other_lengths_and_letters_are_refused() {
        for bad in [String::new(), "0".repeat(64), "0".repeat(127), "g".repeat(128)] {
            assert!(bad.parse::<Sha512>().is_err(), "{bad}");
        }
    }
}
