//! The OpenPGP keys that may sign an archive, and the policy by which they are accepted.
//!
//! The `pgp` crate verifies the cryptography; the policy is here. A key is accepted if its newest valid self-signature
//! lets it sign and is made with SHA-256 or better, and nothing revokes it. Expiry is checked for each signature.

use pgp::composed::{Deserializable, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{PublicKey, PublicSubkey, Signature, SignatureType};
use pgp::types::{Fingerprint, KeyDetails, KeyId, Tag};
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Keys that signatures are checked against.
#[derive(Debug, Clone)]
pub struct Keyring {
    pub(in crate::packages) keys: Vec<TrustedKey>,
}

/// A primary key or a subkey, with its properties from the certificate.
#[derive(Debug, Clone)]
pub(in crate::packages) struct TrustedKey {
    pub fingerprint: Fingerprint,
    pub id: KeyId,
    /// Seconds since 1970.
    pub created: i64,
    pub expires: Option<i64>,
    pub revoked: bool,
    pub material: Material,
}

#[derive(Debug, Clone)]
pub(in crate::packages) enum Material {
    Primary(PublicKey),
    Sub(PublicSubkey),
}

#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error("reading the keyring {} (pass another with --keyring)", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("keyring {name}: {found}, expected OpenPGP public keys, binary or armored")]
    Parse { name: String, found: String },
    #[error("keyring {name}: none of its {certificates} certificates has a key that may sign")]
    Empty { name: String, certificates: usize },
}

/// Debian's archive keys; `keys/README.md` names their origin.
const BUILT_IN: [(&str, &[u8]); 6] = [
    ("trixie-automatic", include_bytes!("keys/trixie-automatic.gpg")),
    ("trixie-security-automatic", include_bytes!("keys/trixie-security-automatic.gpg")),
    ("trixie-stable", include_bytes!("keys/trixie-stable.gpg")),
    ("bookworm-automatic", include_bytes!("keys/bookworm-automatic.gpg")),
    ("bookworm-security-automatic", include_bytes!("keys/bookworm-security-automatic.gpg")),
    ("bookworm-stable", include_bytes!("keys/bookworm-stable.gpg")),
];

const BEGIN: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &[u8] = b"-----END PGP PUBLIC KEY BLOCK-----";

/// The size limit of a keyring file.
const LARGEST: u64 = 16 << 20;

impl Keyring {
    /// Debian's archive keys, which are built into this program.
    pub fn debian() -> Result<Self, KeyringError> {
        let mut keys = Vec::new();
        for (name, bytes) in BUILT_IN {
            keys.extend(Self::parse(name, bytes)?.keys);
        }
        Ok(Self { keys })
    }

    /// Reads a keyring file, binary or armored.
    pub fn read(path: &Path) -> Result<Self, KeyringError> {
        let fail = |source| KeyringError::Read { path: path.to_owned(), source };
        let length = std::fs::metadata(path).map_err(fail)?.len();
        if length > LARGEST {
            let found = format!("found {length} bytes (at most {LARGEST})");
            return Err(KeyringError::Parse { name: path.display().to_string(), found });
        }
        Self::parse(&path.display().to_string(), &std::fs::read(path).map_err(fail)?)
    }

    /// Parses concatenated certificates, binary or armored, in any order, such as the output of `cat` with several
    /// files. `name` is for messages.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, KeyringError> {
        let fail = |found: &str| KeyringError::Parse { name: name.to_owned(), found: found.to_owned() };
        let mut certificates = Vec::new();
        let mut rest = bytes;
        loop {
            let begin = find(rest, BEGIN);
            // The first octet of a packet has its high bit set (RFC 9580, 4.2): no ASCII letter does.
            let before = rest[..begin.unwrap_or(rest.len())].trim_ascii_start();
            if before.first().is_some_and(|byte| byte & 0x80 != 0) {
                // A key may end with any octet, so trailing white space is removed only if the key is invalid with it.
                let found = binary(before).or_else(|_| binary(before.trim_ascii_end()));
                certificates.extend(found.map_err(|_| fail("found bytes that are no whole OpenPGP keys"))?);
            }
            let Some(begin) = begin else { break };
            let block = &rest[begin..];
            let length =
                find(block, END).ok_or_else(|| fail("found an armored block without its last line"))? + END.len();
            let unreadable = |_| fail("found an armored block that is damaged or no public key");
            let (found, _) = SignedPublicKey::from_armor_many(Cursor::new(&block[..length])).map_err(unreadable)?;
            for certificate in found {
                certificates.push(certificate.map_err(unreadable)?);
            }
            rest = &block[length..];
        }
        if certificates.is_empty() {
            let secret = find(bytes, b"-----BEGIN PGP PRIVATE KEY BLOCK-----").is_some();
            return Err(fail(if secret { "found a private key" } else { "found no key" }));
        }
        let keys: Vec<TrustedKey> = certificates.iter().flat_map(signing_keys).collect();
        if keys.is_empty() {
            return Err(KeyringError::Empty { name: name.to_owned(), certificates: certificates.len() });
        }
        Ok(Self { keys })
    }

    /// As [`Self::fingerprints`], sorted and without duplicates: the same for the same keys in any file.
    pub fn sorted_fingerprints(&self) -> Vec<String> {
        let mut fingerprints = self.fingerprints();
        fingerprints.sort();
        fingerprints.dedup();
        fingerprints
    }

    /// Fingerprints of all keys that may sign, in upper case.
    pub fn fingerprints(&self) -> Vec<String> {
        self.keys.iter().map(|key| format!("{:X}", key.fingerprint)).collect()
    }
}

fn binary(bytes: &[u8]) -> Result<Vec<SignedPublicKey>, pgp::errors::Error> {
    SignedPublicKey::from_bytes_many(bytes)?.collect()
}

/// The offset of the first `part` in `bytes`.
fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// The keys of a certificate that may sign: the primary key and the subkeys.
fn signing_keys(certificate: &SignedPublicKey) -> Vec<TrustedKey> {
    let primary = &certificate.primary_key;
    let Some(own) = newest(own_signatures(certificate)) else { return Vec::new() };
    // A key with a revocation signature is not used, even if that signature cannot be verified.
    let revoked = !certificate.details.revocation_signatures.is_empty();
    let primary_expires = expiry(primary.created_at().as_secs(), own);
    let mut keys = Vec::new();
    if may_sign(own, true) {
        keys.push(TrustedKey {
            fingerprint: primary.fingerprint(),
            id: primary.legacy_key_id(),
            created: primary.created_at().as_secs().into(),
            expires: primary_expires,
            revoked,
            material: Material::Primary(primary.clone()),
        });
    }
    for subkey in &certificate.public_subkeys {
        let Some(binding) = newest(bindings(subkey, primary)) else { continue };
        if !may_sign(binding, false) {
            continue;
        }
        let own_expiry = expiry(subkey.key.created_at().as_secs(), binding);
        keys.push(TrustedKey {
            fingerprint: subkey.key.fingerprint(),
            id: subkey.key.legacy_key_id(),
            created: subkey.key.created_at().as_secs().into(),
            // A subkey expires with its primary key at the latest.
            expires: [own_expiry, primary_expires].into_iter().flatten().min(),
            revoked: revoked || subkey.signatures.iter().any(|sig| sig.typ() == Some(SignatureType::SubkeyRevocation)),
            material: Material::Sub(subkey.key.clone()),
        });
    }
    keys
}

/// Valid self-signatures on the primary key, and on its user IDs that are not revoked.
fn own_signatures(certificate: &SignedPublicKey) -> Vec<&Signature> {
    let primary = &certificate.primary_key;
    let direct =
        certificate.details.direct_signatures.iter().filter(|sig| strong(sig) && sig.verify_key(primary).is_ok());
    let users = certificate.details.users.iter().flat_map(|user| {
        let valid: Vec<&Signature> = user
            .signatures
            .iter()
            .filter(|sig| strong(sig) && sig.verify_certification(primary, Tag::UserId, &user.id).is_ok())
            .collect();
        let revoked = valid.iter().any(|sig| sig.typ() == Some(SignatureType::CertRevocation));
        if revoked { Vec::new() } else { valid }
    });
    direct.chain(users).collect()
}

fn bindings<'a>(subkey: &'a SignedPublicSubKey, primary: &PublicKey) -> Vec<&'a Signature> {
    let valid = |sig: &&Signature| {
        sig.typ() == Some(SignatureType::SubkeyBinding)
            && strong(sig)
            && sig.verify_subkey_binding(primary, &subkey.key).is_ok()
            // A signing subkey must confirm its primary key with an embedded signature (RFC 9580, 10.1.5).
            && (!sig.key_flags().sign()
                || sig.embedded_signature().is_some_and(|back| {
                    strong(back) && back.verify_primary_key_binding(&subkey.key, primary).is_ok()
                }))
    };
    subkey.signatures.iter().filter(valid).collect()
}

fn newest(signatures: Vec<&Signature>) -> Option<&Signature> {
    signatures.into_iter().max_by_key(|sig| sig.created().map(|moment| moment.as_secs()))
}

/// A primary key without key flags may sign. A subkey needs the flag that it may sign: without it, [`bindings`] checks
/// no embedded signature.
fn may_sign(signature: &Signature, primary: bool) -> bool {
    let flags = signature.key_flags();
    let told = signature.config().is_some_and(|config| {
        config.hashed_subpackets().any(|sub| matches!(sub.data, pgp::packet::SubpacketData::KeyFlags(_)))
    });
    flags.sign() || primary && !told
}

fn expiry(created: u32, signature: &Signature) -> Option<i64> {
    let after = signature.key_expiration_time()?.as_secs();
    // RFC 9580, 5.2.3.13: zero means never.
    (after != 0).then(|| i64::from(created) + i64::from(after))
}

/// Whether the hash is accepted. MD5, SHA-1 and RIPEMD-160 are broken or nearly so; SHA-224 is no gain over them here.
pub(in crate::packages) fn strong_hash(hash: HashAlgorithm) -> bool {
    use HashAlgorithm::{Sha3_256, Sha3_512, Sha256, Sha384, Sha512};
    matches!(hash, Sha256 | Sha384 | Sha512 | Sha3_256 | Sha3_512)
}

/// Whether the signature has a known version, a strong hash, and no critical subpacket of an unknown type.
pub(in crate::packages) fn strong(signature: &Signature) -> bool {
    use pgp::packet::{SignatureVersion, SubpacketData};
    let version = matches!(signature.version(), SignatureVersion::V4 | SignatureVersion::V6);
    version
        && signature.config().is_some_and(|config| {
            strong_hash(config.hash_alg)
                && !config.hashed_subpackets().any(|sub| {
                    sub.is_critical && matches!(sub.data, SubpacketData::Experimental(..) | SubpacketData::Other(..))
                })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::causes::WithCauses as _;

    #[test]
    fn carries_the_keys_that_its_readme_names() {
        let readme = include_str!("keys/README.md");
        for (name, bytes) in BUILT_IN {
            let digest = crate::util::sha256::of(bytes).to_string();
            assert!(readme.contains(&format!("`{name}.gpg`")), "{name}");
            assert!(readme.contains(&digest), "{name}: {digest}");
            for fingerprint in Keyring::parse(name, bytes).unwrap().fingerprints() {
                assert!(readme.contains(&fingerprint), "{name}: {fingerprint}");
            }
        }
        // Each release has two automatic keys, with a subkey each, and the release key.
        assert_eq!(Keyring::debian().unwrap().keys.len(), 10);
    }

    #[test]
    fn reads_armored_blocks_one_after_the_other() {
        let mut text = String::from("a comment\n");
        for (_, bytes) in &BUILT_IN[1..3] {
            let certificate = SignedPublicKey::from_bytes_many(*bytes).unwrap().next().unwrap().unwrap();
            text += &certificate.to_armored_string(Default::default()).unwrap();
        }
        assert_eq!(Keyring::parse("two", text.as_bytes()).unwrap().keys.len(), 3);
    }

    #[test]
    fn armored_and_binary_keys_may_follow_each_other() {
        let (first, second) = (BUILT_IN[2].1, BUILT_IN[5].1);
        let certificate = SignedPublicKey::from_bytes_many(second).unwrap().next().unwrap().unwrap();
        let armored = certificate.to_armored_bytes(Default::default()).unwrap();
        for (case, parts) in [
            ("armored behind binary", [first, &armored]),
            ("binary behind armored", [&armored, first]),
            ("a line end between", [&[first, b"\n"].concat(), &armored]),
            ("other line ends", [first, String::from_utf8_lossy(&armored).replace('\n', "\r\n").as_bytes()]),
        ] {
            assert_eq!(Keyring::parse("mixed", &parts.concat()).unwrap().keys.len(), 2, "{case}");
        }
        // Messages are in plain words, not in Rust's debug format.
        for (bytes, said) in [
            ([first, &armored[..200]].concat(), "found an armored block without its last line"),
            ([first, b"\xffrest"].concat(), "found bytes that are no whole OpenPGP keys"),
            (b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n".to_vec(), "found a private key"),
            (String::from_utf8_lossy(&armored).replace("\n\n", "\n\n!!").into_bytes(), "damaged"),
        ] {
            let found = Keyring::parse("mixed", &bytes).unwrap_err().to_string();
            assert!(found.contains(said) && !found.contains("{"), "{found}: expected {said}");
        }
    }

    #[test]
    fn refuses_what_is_no_keyring() {
        for bytes in [&b""[..], b"hello", b"\x99\x00", &BUILT_IN[0].1[..700]] {
            assert!(Keyring::parse("bad", bytes).is_err(), "{}", bytes.len());
        }
        let said = Keyring::read(Path::new("/nowhere/keys.gpg")).unwrap_err().with_causes();
        assert!(said.contains("/nowhere/keys.gpg") && said.contains("--keyring"), "{said}");
    }

    #[test]
    fn a_certificate_with_an_altered_self_signature_counts_for_nothing() {
        let (_, bytes) = BUILT_IN[2];
        let keys = Keyring::parse("whole", bytes).unwrap().keys.len();
        assert_eq!(keys, 1);
        let mut refused = 0;
        for at in 0..bytes.len() {
            let mut altered = bytes.to_vec();
            altered[at] ^= 1;
            match Keyring::parse("altered", &altered) {
                Err(_) => refused += 1,
                // Harmless changes: signatures by third parties, and unhashed subpackets.
                Ok(keyring) => assert!(
                    format!("{:X}", keyring.keys[0].fingerprint) == "41587F7DB8C774BCCF131416762F67A0B2C39DE4",
                    "octet {at}"
                ),
            }
        }
        assert!(refused > 100, "{refused}");
    }
}
