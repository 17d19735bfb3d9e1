//! Verifies signed text and returns exactly what was signed: clear-signed text (RFC 9580, 7), as in InRelease files, or
//! text with a detached signature, as for Release files.

use super::keyring::{Keyring, Material, TrustedKey, strong, strong_hash};
use super::release::date;
use pgp::packet::{Packet, PacketParser, Signature, SignatureType};
use std::io::{BufRead, BufReader, Cursor};

/// The text that trusted keys signed, with the keys' fingerprints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The text, with LF line ends if it is clear-signed. Bytes that are not UTF-8, allowed only in free text, are
    /// replaced.
    pub text: String,
    /// Fingerprints of the keys whose signature is good, in upper case.
    pub signers: Vec<String>,
    /// The time of the newest good signature, in seconds since 1970.
    pub signed: i64,
}

/// Why a signed file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The file does not begin with the first line of a signed message.
    #[error("it is not signed: found {found:?}, expected -----BEGIN PGP SIGNED MESSAGE-----")]
    Unsigned {
        /// Its first line.
        found: String,
    },
    /// A line is not allowed at its position in a signed message.
    #[error("line {line} of the signed file: found {found:?}, expected {expected}")]
    Framing {
        /// Counted from 1.
        line: usize,
        /// The line.
        found: String,
        /// What was expected there.
        expected: &'static str,
    },
    /// The file is truncated.
    #[error(
        "the signed file ends after {lines} lines, expected {expected}: it is cut off; try again, or pass another mirror with --mirror"
    )]
    CutOff {
        /// How many lines it has.
        lines: usize,
        /// What was expected next.
        expected: &'static str,
    },
    /// The signature cannot be decoded.
    #[error("its signature is not readable: {found}")]
    Unreadable {
        /// Why it cannot be decoded.
        found: String,
    },
    /// No key of the keyring signed it.
    #[error("it is signed only by keys that are not in the keyring ({})", keys.join(", "))]
    UnknownKeys {
        /// Fingerprints or ids of the keys that did.
        keys: Vec<String>,
    },
    /// The signature does not match the text.
    #[error("the signature by {key} does not belong to this text: one of them was altered")]
    Bad {
        /// The key's fingerprint.
        key: String,
    },
    /// The key had expired when it signed.
    #[error("the key {key} had expired at {} when it signed at {}", date(*expired), date(*signed))]
    ExpiredKey {
        /// The key's fingerprint.
        key: String,
        /// When it expired, in seconds since 1970.
        expired: i64,
        /// When it signed, in seconds since 1970.
        signed: i64,
    },
    /// The signature has expired.
    #[error("the signature by {key} expired at {} and it is {} now: the mirror has not been updated; pass another with --mirror", date(*expired), date(*now))]
    ExpiredSignature {
        /// The key's fingerprint.
        key: String,
        /// When the signature expired, in seconds since 1970.
        expired: i64,
        /// This machine's time, in seconds since 1970.
        now: i64,
    },
    /// The key is revoked.
    #[error("the key {key} is revoked")]
    RevokedKey {
        /// The key's fingerprint.
        key: String,
    },
    /// The signature's hash or version is not accepted.
    #[error("the signature by {key} is made with {hash}, expected SHA-256 or stronger")]
    Weak {
        /// The key's fingerprint.
        key: String,
        /// The name of the hash, or the version.
        hash: String,
    },
    /// The signature is dated after this machine's time.
    #[error("the signature by {key} is dated {} and it is {} now: the machine's clock is wrong, or the signature lies", date(*signed), date(*now))]
    Future {
        /// The key's fingerprint.
        key: String,
        /// When it signed, in seconds since 1970.
        signed: i64,
        /// This machine's time, in seconds since 1970.
        now: i64,
    },
}

impl SignatureError {
    /// Whether the keys are the cause, so that other keys may be accepted.
    pub fn is_of_keys(&self) -> bool {
        matches!(self, Self::UnknownKeys { .. } | Self::ExpiredKey { .. } | Self::RevokedKey { .. })
    }
}

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// How far a signer's clock may be ahead of ours, in seconds.
const CLOCK_SLACK: i64 = 3600;

/// Verifies a clear-signed file. One good signature by a key of the keyring is enough.
pub fn verify(bytes: &[u8], keyring: &Keyring, now: i64) -> Result<Verified, SignatureError> {
    let (text, armor) = split(bytes)?;
    let verified = verify_text(&text, &read_signatures(armor)?, keyring, now)?;
    // The signed text has CRLF line ends; the result has LF.
    Ok(Verified { text: verified.text.replace("\r\n", "\n"), ..verified })
}

/// Verifies a file with a detached signature, armored or binary.
pub fn verify_detached(
    bytes: &[u8],
    signature: &[u8],
    keyring: &Keyring,
    now: i64,
) -> Result<Verified, SignatureError> {
    verify_text(bytes, &read_signatures(signature)?, keyring, now)
}

fn verify_text(text: &[u8], signatures: &[Signature], keyring: &Keyring, now: i64) -> Result<Verified, SignatureError> {
    let (mut signers, mut failures, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    let mut newest = i64::MIN;
    for signature in signatures {
        let mut known = false;
        for key in keyring.keys.iter().filter(|key| names(signature, key)) {
            known = true;
            match check(signature, key, text, now) {
                Ok(signed) => {
                    signers.push(format!("{:X}", key.fingerprint));
                    newest = newest.max(signed);
                }
                Err(error) => failures.push(error),
            }
        }
        if !known {
            unknown.push(issuer(signature));
        }
    }
    if !signers.is_empty() {
        return Ok(Verified { text: String::from_utf8_lossy(text).into_owned(), signers, signed: newest });
    }
    // An altered text is reported before other errors, as it is the worst of them.
    failures.sort_by_key(|error| !matches!(error, SignatureError::Bad { .. }));
    Err(failures.into_iter().next().unwrap_or(SignatureError::UnknownKeys { keys: unknown }))
}

/// The start of a line, for a message.
fn excerpt(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().take(80).collect()
}

fn trimmed(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r')).map_or(0, |last| last + 1);
    &line[..end]
}

/// Splits a file into the text as it was hashed and the armored signature. Nothing may be before or after them.
fn split(file: &[u8]) -> Result<(Vec<u8>, &[u8]), SignatureError> {
    let mut lines = file.split_inclusive(|byte| *byte == b'\n').enumerate();
    let mut offset = 0;
    let mut next = || {
        let (number, line) = lines.next()?;
        offset += line.len();
        Some((number + 1, line.strip_suffix(b"\n").unwrap_or(line), offset))
    };
    let fail = |line, found: &[u8], expected| Err(SignatureError::Framing { line, found: excerpt(found), expected });
    let cut_off = |expected| {
        let lines = file.split_inclusive(|byte| *byte == b'\n').count();
        Err(SignatureError::CutOff { lines, expected })
    };
    match next() {
        Some((_, line, _)) if trimmed(line) == BEGIN.as_bytes() => {}
        other => {
            return Err(SignatureError::Unsigned { found: other.map_or(String::new(), |(_, line, _)| excerpt(line)) });
        }
    }
    loop {
        match next() {
            Some((_, line, _)) if trimmed(line).is_empty() => break,
            Some((_, line, _)) if line.starts_with(b"Hash: ") => {}
            Some((number, line, _)) => return fail(number, line, "a Hash header, then an empty line"),
            None => return cut_off("the empty line that ends its header"),
        }
    }
    let mut text = Vec::with_capacity(file.len());
    let mut first = true;
    let start = loop {
        let Some((number, line, end)) = next() else { return cut_off(SIGNATURE) };
        if trimmed(line) == SIGNATURE.as_bytes() {
            break end - line.len() - usize::from(file[..end].ends_with(b"\n"));
        }
        let line = match line.strip_prefix(b"- ") {
            Some(escaped) => escaped,
            None if line.starts_with(b"-") => {
                return fail(number, line, "`- ` before a line that begins with a dash");
            }
            None => line,
        };
        let line = trimmed(line);
        if line.contains(&b'\r') {
            return fail(number, line, "no carriage return inside a line");
        }
        // The last line end before the signature is not part of the text.
        if !first {
            text.extend(b"\r\n");
        }
        first = false;
        text.extend(line);
    };
    let mut ended = None;
    while let Some((number, line, end)) = next() {
        match ended {
            None if trimmed(line) == END.as_bytes() => ended = Some(end),
            Some(_) if !line.trim_ascii().is_empty() => return fail(number, line, "nothing after the signature"),
            _ => {}
        }
    }
    match ended {
        Some(end) => Ok((text, &file[start..end])),
        None => cut_off(END),
    }
}

/// Parses signatures, armored or binary.
fn read_signatures(file: &[u8]) -> Result<Vec<Signature>, SignatureError> {
    let unreadable = |found: String| SignatureError::Unreadable { found };
    // The first octet of a packet has its high bit set (RFC 9580, 4.2): no ASCII letter does.
    let packets: Box<dyn BufRead> = if file.first().is_some_and(|byte| byte & 0x80 != 0) {
        Box::new(Cursor::new(file))
    } else {
        let mut dearmor = pgp::armor::Dearmor::new(Cursor::new(file));
        dearmor.read_header().map_err(|error| unreadable(error.to_string()))?;
        Box::new(BufReader::new(dearmor))
    };
    let mut signatures = Vec::new();
    let mut problem = None;
    for packet in PacketParser::new(packets) {
        match packet {
            Ok(Packet::Signature(signature)) => signatures.push(signature),
            Ok(other) => return Err(unreadable(format!("found a packet of another kind ({:?})", tag(&other)))),
            // A signature by a future kind of key must not hide the others.
            Err(error) => problem = Some(error.to_string()),
        }
    }
    match problem {
        Some(problem) if signatures.is_empty() => Err(unreadable(problem)),
        None if signatures.is_empty() => Err(unreadable("found no signature in it".into())),
        _ => Ok(signatures),
    }
}

fn tag(packet: &Packet) -> pgp::types::Tag {
    pgp::packet::PacketTrait::tag(packet)
}

fn names(signature: &Signature, key: &TrustedKey) -> bool {
    let fingerprints = signature.issuer_fingerprint();
    if fingerprints.is_empty() {
        return signature.issuer_key_id().contains(&&key.id);
    }
    fingerprints.contains(&&key.fingerprint)
}

fn issuer(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(|fingerprint| format!("{fingerprint:X}"));
    let id = || signature.issuer_key_id().first().map(hex::encode_upper);
    fingerprint.or_else(id).unwrap_or_else(|| "a key that is not named".into())
}

/// Verifies a signature and returns its time, in seconds since 1970.
fn check(signature: &Signature, key: &TrustedKey, text: &[u8], now: i64) -> Result<i64, SignatureError> {
    let name = || format!("{:X}", key.fingerprint);
    if key.revoked {
        return Err(SignatureError::RevokedKey { key: name() });
    }
    if !strong(signature) {
        let hash = match signature.hash_alg() {
            Some(hash) if !strong_hash(hash) => hash.to_string(),
            _ => format!("a form that is not understood ({:?})", signature.version()),
        };
        return Err(SignatureError::Weak { key: name(), hash });
    }
    let signs_text = matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary));
    let good = match &key.material {
        Material::Primary(material) => signature.verify(material, text).is_ok(),
        Material::Sub(material) => signature.verify(material, text).is_ok(),
    };
    let Some(signed) = signature.created().filter(|_| good && signs_text) else {
        return Err(SignatureError::Bad { key: name() });
    };
    let signed = i64::from(signed.as_secs());
    if signed > now.saturating_add(CLOCK_SLACK) {
        return Err(SignatureError::Future { key: name(), signed, now });
    }
    // RFC 9580, 5.2.3.18: zero means never.
    if let Some(after) = signature.signature_expiration_time().filter(|after| after.as_secs() != 0) {
        let expired = signed + i64::from(after.as_secs());
        if now >= expired {
            return Err(SignatureError::ExpiredSignature { key: name(), expired, now });
        }
    }
    match key.expires {
        Some(expired) if signed >= expired => Err(SignatureError::ExpiredKey { key: name(), expired, signed }),
        _ if signed < key.created => Err(SignatureError::Bad { key: name() }),
        _ => Ok(signed),
    }
}

#[cfg(test)]
mod tests;
