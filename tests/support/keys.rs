//! OpenPGP keys and signatures, including ones that no archive would create.

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, DetachedSignature, KeyType, SecretKeyParamsBuilder, SignedKeyDetails,
    SignedPublicKey, SignedPublicSubKey, SignedSecretKey, SubkeyParamsBuilder,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{KeyFlags, Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData, UserId};
use pgp::ser::Serialize;
use pgp::types::{Duration, KeyDetails, Password, SignedUser, SigningKey, Tag, Timestamp};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// The creation time of all keys here, unless a test says otherwise.
pub const BORN: u32 = 1_700_000_000;
pub const DAY: u32 = 86_400;
/// A time at which the signatures are valid.
pub const NOW: i64 = BORN as i64 + 10 * DAY as i64;

/// A certificate with one signing subkey.
#[derive(Debug)]
pub struct Signer {
    secret: SignedSecretKey,
}

/// The properties that a certificate states for its keys.
#[derive(Debug, Clone)]
pub struct Terms {
    pub expires_after: u32,
    pub subkey_expires_after: u32,
    pub revoked: bool,
    pub subkey_revoked: bool,
    pub back_signature: bool,
    pub subkey_signs: bool,
    pub hash: HashAlgorithm,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            expires_after: 0,
            subkey_expires_after: 0,
            revoked: false,
            subkey_revoked: false,
            back_signature: true,
            subkey_signs: true,
            hash: HashAlgorithm::Sha512,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct How {
    pub by_subkey: bool,
    pub hash: HashAlgorithm,
    pub kind: SignatureType,
    pub at: u32,
    pub expires_after: u32,
}

impl Default for How {
    fn default() -> Self {
        let kind = SignatureType::Text;
        Self { by_subkey: false, hash: HashAlgorithm::Sha256, kind, at: BORN + DAY, expires_after: 0 }
    }
}

impl Signer {
    pub fn new(seed: u64) -> Self {
        Self::of(KeyType::Ed25519Legacy, seed)
    }

    /// A signer whose primary key signs with any hash, however weak; crate pgp does not allow that for an Ed25519 key.
    pub fn rsa() -> Self {
        Self::of(KeyType::Rsa(2048), 1)
    }

    fn of(primary: KeyType, seed: u64) -> Self {
        let born = Timestamp::from_secs(BORN);
        let subkey = SubkeyParamsBuilder::default()
            .key_type(KeyType::Ed25519Legacy)
            .created_at(born)
            .can_sign(true)
            .build()
            .unwrap();
        let mut builder = SecretKeyParamsBuilder::default();
        builder.key_type(primary).created_at(born).can_certify(true).can_sign(true);
        builder.primary_user_id("Archive <archive@example.org>".into()).subkey(subkey);
        Self { secret: builder.build().unwrap().generate(StdRng::seed_from_u64(seed)).unwrap() }
    }

    pub fn fingerprint(&self, subkey: bool) -> String {
        match subkey {
            true => format!("{:X}", self.secret.secret_subkeys[0].key.fingerprint()),
            false => format!("{:X}", self.secret.primary_key.fingerprint()),
        }
    }

    /// The bytes of a keyring with this one certificate.
    pub fn keyring(&self, terms: &Terms) -> Vec<u8> {
        self.certificate(terms).to_bytes().unwrap()
    }

    /// The armored text of a keyring with this one certificate.
    pub fn armored_keyring(&self) -> String {
        self.certificate(&Terms::default()).to_armored_string(ArmorOptions::default()).unwrap()
    }

    fn certificate(&self, terms: &Terms) -> SignedPublicKey {
        let (primary, public) = (&self.secret.primary_key, self.secret.primary_key.public_key());
        let none = Password::empty();
        let id = UserId::from_str(Default::default(), "Archive <archive@example.org>").unwrap();
        let flags = |certify, sign| {
            let mut flags = KeyFlags::default();
            flags.set_certify(certify);
            flags.set_sign(sign);
            SubpacketData::KeyFlags(flags)
        };
        let mut own = config(primary, SignatureType::CertPositive, terms.hash, BORN);
        push(&mut own, flags(true, true));
        push(&mut own, SubpacketData::KeyExpirationTime(Duration::from_secs(terms.expires_after)));
        let own = own.sign_certification(primary, public, &none, Tag::UserId, &id).unwrap();

        let (subkey, subkey_public) =
            (&self.secret.secret_subkeys[0].key, self.secret.secret_subkeys[0].key.public_key());
        let mut binding = config(primary, SignatureType::SubkeyBinding, terms.hash, BORN);
        push(&mut binding, flags(false, terms.subkey_signs));
        push(&mut binding, SubpacketData::KeyExpirationTime(Duration::from_secs(terms.subkey_expires_after)));
        if terms.back_signature {
            let back = config(subkey, SignatureType::KeyBinding, HashAlgorithm::Sha512, BORN);
            let back = back.sign_primary_key_binding(subkey, subkey_public, &none, public).unwrap();
            push(&mut binding, SubpacketData::EmbeddedSignature(Box::new(back)));
        }
        let mut bindings = vec![binding.sign_subkey_binding(primary, public, &none, subkey_public).unwrap()];
        if terms.subkey_revoked {
            let revocation = config(primary, SignatureType::SubkeyRevocation, terms.hash, BORN);
            bindings.push(revocation.sign_subkey_binding(primary, public, &none, subkey_public).unwrap());
        }
        let revocations = match terms.revoked {
            true => vec![
                config(primary, SignatureType::KeyRevocation, terms.hash, BORN)
                    .sign_key(primary, &none, public)
                    .unwrap(),
            ],
            false => Vec::new(),
        };
        SignedPublicKey {
            primary_key: public.clone(),
            details: SignedKeyDetails::new(revocations, Vec::new(), vec![SignedUser::new(id, vec![own])], Vec::new()),
            public_subkeys: vec![SignedPublicSubKey { key: subkey_public.clone(), signatures: bindings }],
        }
    }

    /// A signature over text whose line ends are CRLF.
    fn signature(&self, text: &str, how: How) -> Signature {
        let (primary, subkey) = (&self.secret.primary_key, &self.secret.secret_subkeys[0].key);
        let finish = |mut config: SignatureConfig, key: &dyn Fn(SignatureConfig) -> Signature| {
            if how.expires_after > 0 {
                push(&mut config, SubpacketData::SignatureExpirationTime(Duration::from_secs(how.expires_after)));
            }
            key(config)
        };
        let none = Password::empty();
        match how.by_subkey {
            true => finish(config(subkey, how.kind, how.hash, how.at), &|config| {
                config.sign(subkey, &none, text.as_bytes()).unwrap()
            }),
            false => finish(config(primary, how.kind, how.hash, how.at), &|config| {
                config.sign(primary, &none, text.as_bytes()).unwrap()
            }),
        }
    }

    pub fn sign(&self, text: &str) -> String {
        clear_sign(text, &[(self, How::default())])
    }

    /// A detached signature, as in Release.gpg.
    pub fn sign_apart(&self, text: &str) -> String {
        let how = How { kind: SignatureType::Binary, ..How::default() };
        let signature = DetachedSignature::new(self.signature(text, how));
        signature.to_armored_string(ArmorOptions::default()).unwrap()
    }
}

/// The framing is crate pgp's, so that our reader is tested against another implementation.
pub fn clear_sign(text: &str, signers: &[(&Signer, How)]) -> String {
    let sign = |text: &str| Ok(signers.iter().map(|(signer, how)| signer.signature(text, *how)).collect());
    CleartextSignedMessage::new_many(text, sign).unwrap().to_armored_string(ArmorOptions::default()).unwrap()
}

fn config(key: &impl SigningKey, kind: SignatureType, hash: HashAlgorithm, at: u32) -> SignatureConfig {
    let mut config = SignatureConfig::v4(kind, key.algorithm(), hash);
    push(&mut config, SubpacketData::SignatureCreationTime(Timestamp::from_secs(at)));
    push(&mut config, SubpacketData::IssuerFingerprint(key.fingerprint()));
    config
}

fn push(config: &mut SignatureConfig, data: SubpacketData) {
    config.hashed_subpackets.push(Subpacket::regular(data).unwrap());
}
