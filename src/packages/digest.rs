//! Digests, as types that cannot be of the wrong length.

use sha2::{Digest as _, Sha256, Sha512};
use std::fmt;
use std::io::{self, Read};

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// 64 hexadecimal digits, as Release files and locks write it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Digest and length of all that `reader` gives.
    pub fn of_reader(mut reader: impl Read) -> io::Result<(Self, u64)> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        let mut length = 0;
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok((Self(hasher.finalize().into()), length)),
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    length += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A SHA-512 digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest512([u8; 64]);

impl Digest512 {
    /// 128 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 64];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha512::digest(bytes).into())
    }
}

impl From<[u8; 64]> for Digest512 {
    fn from(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest512 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest512 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an archive lists of a file: its SHA-256, or where it lists none, its SHA-512. MD5 and SHA-1 do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileHash {
    Sha256(Digest),
    Sha512(Digest512),
}

impl FileHash {
    /// Whether these bytes have this hash.
    pub fn matches(self, bytes: &[u8]) -> bool {
        match self {
            Self::Sha256(digest) => Digest::of(bytes) == digest,
            Self::Sha512(digest) => Digest512::of(bytes) == digest,
        }
    }

    /// The directory of files by hash: `by-hash/SHA256`.
    pub fn directory(self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA256",
            Self::Sha512(_) => "SHA512",
        }
    }

    /// The hash of `bytes` by the same algorithm, for a message.
    pub fn same_of(self, bytes: &[u8]) -> Self {
        match self {
            Self::Sha256(_) => Self::Sha256(Digest::of(bytes)),
            Self::Sha512(_) => Self::Sha512(Digest512::of(bytes)),
        }
    }

    /// In hexadecimal digits, without the algorithm.
    pub fn digits(self) -> String {
        match self {
            Self::Sha256(digest) => digest.to_string(),
            Self::Sha512(digest) => digest.to_string(),
        }
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => write!(f, "SHA-256 {digest}"),
            Self::Sha512(digest) => write!(f, "SHA-512 {digest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_nothing_agree_with_fips_180() {
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), text);
        assert_eq!(Digest::parse(text), Some(Digest::of(b"")));
        assert_eq!(Digest::of_reader(&b"abc"[..]).unwrap(), (Digest::of(b"abc"), 3));
    }

    #[test]
    fn refuses_other_lengths_and_letters() {
        assert_eq!(Digest::parse(""), None);
        assert_eq!(Digest::parse(&"a".repeat(63)), None);
        assert_eq!(Digest::parse(&"g".repeat(64)), None);
    }
}
