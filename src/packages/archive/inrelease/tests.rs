use super::{SignatureError, Verified, verify, verify_detached};
use crate::packages::archive::keyring::Keyring;
use applbuild_test_support::keys::{BORN, DAY, How, NOW, Signer, Terms, clear_sign};
use appliance_contract::causes::WithCauses as _;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::SignatureType;

const SIGNED: &str = "Suite: stable\n- dashed\n-----BEGIN\ntrailing\nCodename: trixie\n";

fn keyring_with(signer: &Signer, terms: Terms) -> Keyring {
    Keyring::parse("test", &signer.keyring(&terms)).unwrap()
}

fn keyring_of(signer: &Signer) -> Keyring {
    keyring_with(signer, Terms::default())
}

fn check(file: &str, keyring: &Keyring) -> Result<Verified, SignatureError> {
    verify(file.as_bytes(), keyring, NOW)
}

/// Created once, for the tests that check many texts.
fn usual() -> &'static (Signer, Keyring) {
    static USUAL: std::sync::OnceLock<(Signer, Keyring)> = std::sync::OnceLock::new();
    USUAL.get_or_init(|| (Signer::new(1), keyring_of(&Signer::new(1))))
}

#[test]
fn gives_exactly_what_was_signed() {
    let signer = Signer::new(1);
    for by_subkey in [false, true] {
        for kind in [SignatureType::Text, SignatureType::Binary] {
            let file = clear_sign(SIGNED, &[(&signer, How { by_subkey, kind, ..How::default() })]);
            let verified = check(&file, &keyring_of(&signer)).unwrap();
            let signers = vec![signer.fingerprint(by_subkey)];
            assert_eq!(verified, Verified { text: SIGNED.into(), signers, signed: i64::from(BORN + DAY) });
            // A transfer may change line ends and add spaces before them: neither is signed (RFC 9580, 7.2).
            let carried = file.replace("trailing\n", "trailing \t \n").replace('\n', "\r\n");
            assert_eq!(check(&carried, &keyring_of(&signer)).unwrap().text, SIGNED);
        }
    }
}

#[test]
fn one_good_signature_is_enough() {
    let (good, other) = (Signer::rsa(), Signer::new(2));
    let weak = How { hash: HashAlgorithm::Sha1, ..How::default() };
    let file = clear_sign(SIGNED, &[(&other, How::default()), (&good, weak), (&good, How::default())]);
    assert_eq!(check(&file, &keyring_of(&good)).unwrap().signers, [good.fingerprint(false)]);
}

#[test]
fn no_octet_of_the_text_can_be_altered() {
    let signer = Signer::new(1);
    let (file, keyring) = (signer.sign(SIGNED), keyring_of(&signer));
    let start = file.find(SIGNED.lines().next().unwrap()).unwrap();
    let end = file.find("-----BEGIN PGP SIGNATURE").unwrap() - 1;
    for at in start..end {
        let mut altered = file.clone().into_bytes();
        altered[at] ^= 1;
        assert!(verify(&altered, &keyring, NOW).is_err(), "octet {at} {:?}", char::from(altered[at]));
    }
    let altered = file.replace("trixie", "bookworm");
    let said = check(&altered, &keyring).unwrap_err();
    assert_eq!(said, SignatureError::Bad { key: signer.fingerprint(false) });
}

#[test]
fn altered_signatures_never_pass_and_never_panic() {
    let signer = Signer::new(1);
    let (file, keyring) = (signer.sign(SIGNED), keyring_of(&signer));
    let start = file.find("-----BEGIN PGP SIGNATURE").unwrap();
    for at in start..file.trim_end().len() {
        let mut altered = file.clone().into_bytes();
        altered[at] ^= 2;
        // Unhashed subpackets and the armor's checksum may change; the text is still the signed one.
        if let Ok(verified) = verify(&altered, &keyring, NOW) {
            assert_eq!(verified.text, SIGNED);
        }
        let _ = verify(&file.as_bytes()[..at], &keyring, NOW).unwrap_err();
    }
}

#[test]
fn a_file_that_is_cut_off_is_told_from_one_that_is_wrong() {
    let (signer, keyring) = usual();
    let file = signer.sign(SIGNED);
    let ends: Vec<usize> = file.match_indices('\n').map(|(at, _)| at + 1).collect();
    for (lines, end) in ends[..ends.len() - 1].iter().enumerate() {
        let said = check(&file[..*end], keyring).unwrap_err();
        assert!(matches!(said, SignatureError::CutOff { lines: found, .. } if found == lines + 1), "{said}");
    }
}

#[test]
fn unknown_keys_are_named() {
    let (signer, other) = (Signer::new(1), Signer::new(2));
    let said = check(&signer.sign(SIGNED), &keyring_of(&other)).unwrap_err();
    assert_eq!(said, SignatureError::UnknownKeys { keys: vec![signer.fingerprint(false)] });
    assert!(said.is_of_keys(), "{said}");
}

#[test]
fn unsigned_text_is_refused() {
    let keyring = keyring_of(&Signer::new(1));
    for file in ["", SIGNED, "\n", "-----BEGIN PGP SIGNATURE-----\n"] {
        assert!(matches!(check(file, &keyring), Err(SignatureError::Unsigned { .. })), "{file:?}");
    }
    assert!(matches!(verify(b"\xff\xfe", &keyring, NOW), Err(SignatureError::Unsigned { .. })));
}

#[test]
fn nothing_may_stand_beside_the_signed_text() {
    let signer = Signer::new(1);
    let (file, keyring) = (signer.sign(SIGNED), keyring_of(&signer));
    assert!(check(&format!("{file}\n \n"), &keyring).is_ok());
    let refused = |file: String| assert!(check(&file, &keyring).is_err(), "{file}");
    refused(format!("Suite: evil\n{file}"));
    refused(format!("\n{file}"));
    refused(format!("{file}Suite: evil\n"));
    refused(format!("{file}{file}"));
    refused(file.replacen("\n\n", "\nSuite: evil\n\n", 1));
    refused(file.replacen("\n\n", "\nComment: evil\n\n", 1));
    refused(file.replace("-----END PGP SIGNATURE-----", ""));
    refused(file.replace("- - dashed", "- dashed"));
    refused(file.replace("- - dashed", "-- dashed"));
    refused(file.replace("Suite: stable\n", "Suite: stable\rSuite: evil\n"));
}

#[test]
fn weak_hashes_are_refused() {
    let signer = Signer::rsa();
    for hash in [HashAlgorithm::Md5, HashAlgorithm::Sha1, HashAlgorithm::Ripemd160, HashAlgorithm::Sha224] {
        let file = clear_sign(SIGNED, &[(&signer, How { hash, ..How::default() })]);
        let expected = SignatureError::Weak { key: signer.fingerprint(false), hash: hash.to_string() };
        assert_eq!(check(&file, &keyring_of(&signer)), Err(expected));
    }
    for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
        let file = clear_sign(SIGNED, &[(&signer, How { hash, ..How::default() })]);
        assert!(check(&file, &keyring_of(&signer)).is_ok(), "{hash}");
    }
}

#[test]
fn a_key_counts_as_long_as_it_lives() {
    let signer = Signer::new(1);
    let file = |by_subkey| clear_sign(SIGNED, &[(&signer, How { by_subkey, ..How::default() })]);
    let expired = |by_subkey| {
        let (expired, signed) = (i64::from(BORN + DAY), i64::from(BORN + DAY));
        Err(SignatureError::ExpiredKey { key: signer.fingerprint(by_subkey), expired, signed })
    };
    // The key expired at the time of the signature.
    let keyring = keyring_with(&signer, Terms { expires_after: DAY, ..Terms::default() });
    assert_eq!(check(&file(false), &keyring), expired(false));
    assert_eq!(check(&file(true), &keyring), expired(true));
    // A signature made before the key expired stays good.
    let keyring = keyring_with(&signer, Terms { expires_after: DAY + 1, ..Terms::default() });
    assert!(check(&file(false), &keyring).is_ok());
    let keyring = keyring_with(&signer, Terms { subkey_expires_after: DAY, ..Terms::default() });
    assert_eq!(check(&file(true), &keyring), expired(true));
    assert!(check(&file(false), &keyring).is_ok());
    let unborn = clear_sign(SIGNED, &[(&signer, How { at: BORN - 1, ..How::default() })]);
    assert!(matches!(check(&unborn, &keyring_of(&signer)), Err(SignatureError::Bad { .. })));
}

#[test]
fn a_signature_of_the_future_or_past_its_term_is_refused() {
    let signer = Signer::new(1);
    let at = |at: i64| clear_sign(SIGNED, &[(&signer, How { at: at as u32, ..How::default() })]);
    assert!(check(&at(NOW + 3600), &keyring_of(&signer)).is_ok());
    assert!(matches!(check(&at(NOW + 3601), &keyring_of(&signer)), Err(SignatureError::Future { .. })));
    let short = clear_sign(SIGNED, &[(&signer, How { expires_after: DAY, ..How::default() })]);
    assert!(matches!(check(&short, &keyring_of(&signer)), Err(SignatureError::ExpiredSignature { .. })));
    assert!(verify(short.as_bytes(), &keyring_of(&signer), i64::from(BORN + 2 * DAY) - 1).is_ok());
}

#[test]
fn revoked_keys_are_refused() {
    let signer = Signer::new(1);
    let file = |by_subkey| clear_sign(SIGNED, &[(&signer, How { by_subkey, ..How::default() })]);
    let revoked = |by_subkey| Err(SignatureError::RevokedKey { key: signer.fingerprint(by_subkey) });
    let keyring = keyring_with(&signer, Terms { revoked: true, ..Terms::default() });
    assert_eq!((check(&file(false), &keyring), check(&file(true), &keyring)), (revoked(false), revoked(true)));
    let keyring = keyring_with(&signer, Terms { subkey_revoked: true, ..Terms::default() });
    assert_eq!(check(&file(true), &keyring), revoked(true));
    assert!(check(&file(false), &keyring).is_ok());
}

#[test]
fn a_subkey_without_its_own_consent_or_leave_does_not_count() {
    let signer = Signer::new(1);
    let file = clear_sign(SIGNED, &[(&signer, How { by_subkey: true, ..How::default() })]);
    for terms in
        [Terms { back_signature: false, ..Terms::default() }, Terms { subkey_signs: false, ..Terms::default() }]
    {
        let said = check(&file, &keyring_with(&signer, terms));
        assert!(matches!(said, Err(SignatureError::UnknownKeys { .. })), "{said:?}");
    }
}

#[test]
fn a_certificate_that_only_weak_hashes_hold_together_counts_for_nothing() {
    let terms = Terms { hash: HashAlgorithm::Sha1, ..Terms::default() };
    let bytes = Signer::rsa().keyring(&terms);
    let said = Keyring::parse("weak", &bytes).unwrap_err().with_causes();
    assert_eq!(said, "keyring weak: none of its 1 certificates has a key that may sign");
}

proptest::proptest! {
    #[test]
    fn framing_never_panics(text in "(-----BEGIN PGP SIGNED MESSAGE-----|-----BEGIN PGP SIGNATURE-----|-----END PGP SIGNATURE-----|Hash: SHA256|- |\n|\r|[a-zA-Z0-9+/=é]{1,8}){0,30}") {
        let keyring = &usual().1;
        let _ = verify(text.as_bytes(), keyring, NOW);
        let _ = verify(format!("-----BEGIN PGP SIGNED MESSAGE-----\n\n{text}").as_bytes(), keyring, NOW);
        let _ = Keyring::parse("any", text.as_bytes());
    }

    #[test]
    fn any_text_comes_back_as_signed(lines in proptest::collection::vec("-{0,5}[ -~é]{0,20}[!-~]|", 0..8)) {
        let text = lines.join("\n");
        let (signer, keyring) = usual();
        proptest::prop_assert_eq!(check(&signer.sign(&text), keyring).unwrap().text, text);
    }
}

#[test]
fn a_signature_in_a_file_of_its_own_is_checked_as_well() {
    let (signer, keyring) = usual();
    let signature = signer.sign_apart(SIGNED);
    let verified = verify_detached(SIGNED.as_bytes(), signature.as_bytes(), keyring, NOW).unwrap();
    assert_eq!((verified.text.as_str(), verified.signers), (SIGNED, vec![signer.fingerprint(false)]));
    let other = verify_detached(b"Suite: other\n", signature.as_bytes(), keyring, NOW).unwrap_err();
    assert!(matches!(other, SignatureError::Bad { .. }));
    let stranger = Signer::new(2).sign_apart(SIGNED);
    let unknown = verify_detached(SIGNED.as_bytes(), stranger.as_bytes(), keyring, NOW).unwrap_err();
    assert!(matches!(unknown, SignatureError::UnknownKeys { .. }));
    for nothing in [&b""[..], b"hello", b"\x88", &signature.as_bytes()[..40]] {
        assert!(verify_detached(SIGNED.as_bytes(), nothing, keyring, NOW).is_err());
    }
}
