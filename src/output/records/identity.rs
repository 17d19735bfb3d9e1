//! The identity of a medium: a hash of everything that decides what boots from it.

use crate::output::records::checksums::Hashes;
use crate::util::sha256::Hasher;
use appliance_contract::Sha256;

/// Derived from the lock and from what was made of it, so that two builds of
/// one lock that differ in an overlay file are never taken for each other.
pub struct Identity {
    hash: Hasher,
}

impl Identity {
    /// Begins with the profile's name, the version and the lock.
    pub fn new(name: &str, version: &str, lock_sha256: Sha256) -> Self {
        let mut identity = Self { hash: Hasher::default() };
        identity.add(b"applbuild medium 2");
        identity.add(name.as_bytes());
        identity.add(version.as_bytes());
        identity.add(lock_sha256.as_bytes());
        identity
    }

    /// Lengths keep two fields from being read as one.
    pub fn add(&mut self, field: &[u8]) {
        self.hash.update((field.len() as u64).to_le_bytes());
        self.hash.update(field);
    }

    /// Adds paths and hashes of files.
    pub fn files(&mut self, hashes: &Hashes) {
        for (path, hash) in hashes {
            self.add(&path.to_bytes());
            self.add(hash.as_bytes());
        }
    }

    /// SHA-256 of all that was added.
    pub fn finish(self) -> Sha256 {
        self.hash.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_counts() {
        let of = |name, version, lock: u8| Identity::new(name, version, [lock; 32].into()).finish();
        assert_eq!(of("host", "1", 0), of("host", "1", 0));
        for other in [of("host2", "1", 0), of("host", "2", 0), of("host", "1", 1), of("hos", "t1", 0)] {
            assert_ne!(of("host", "1", 0), other);
        }
        let mut more = Identity::new("host", "1", [0; 32].into());
        more.add(b"");
        assert_ne!(more.finish(), of("host", "1", 0));
    }
}
