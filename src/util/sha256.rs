//! Computes SHA-256 hashes: of bytes, of a reader, and of bytes that come in pieces.

use appliance_contract::Sha256;
use sha2::Digest;
use std::io::{self, Read};

const BUFFER: usize = 256 << 10;

/// The hash of `bytes`.
pub fn of(bytes: impl AsRef<[u8]>) -> Sha256 {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// The hash and the number of all bytes of `reader`.
pub fn of_reader(mut reader: impl Read) -> io::Result<(Sha256, u64)> {
    let mut hasher = Hasher::default();
    let length = hasher.update_from(&mut reader)?;
    Ok((hasher.finish(), length))
}

/// Hashes bytes that come in pieces.
#[derive(Debug, Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Adds `bytes`.
    pub fn update(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes);
    }

    /// Adds all bytes of `reader`. Returns their number.
    pub fn update_from(&mut self, reader: &mut impl Read) -> io::Result<u64> {
        let mut buffer = vec![0; BUFFER];
        let mut length = 0;
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(length),
                Ok(count) => {
                    self.update(&buffer[..count]);
                    length += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The hash of all bytes so far.
    pub fn finish(self) -> Sha256 {
        <[u8; 32]>::from(self.0.finalize()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_agree_with_fips_180() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(of("").to_string(), empty);
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of_reader(&b"abc"[..]).unwrap(), (abc.parse().unwrap(), 3));
        let mut pieces = Hasher::default();
        pieces.update("a");
        pieces.update_from(&mut &b"bc"[..]).unwrap();
        assert_eq!(pieces.finish(), of("abc"));
    }
}
