//! Versions of packages and their order: Debian Policy 5.6.12, deb-version(7).

use std::cmp::Ordering;
use std::fmt;

/// A version with its original text. Equality and order are dpkg's: `1.0`, `1.00` and `0:1.0-0` are equal.
#[derive(Clone, Copy)]
pub struct Version<'a> {
    text: &'a str,
    epoch: u32,
    upstream: &'a str,
    revision: &'a str,
}

#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum VersionError {
    #[error("version {version:?} has the epoch {epoch:?}, expected a number up to 2147483647")]
    Epoch { version: String, epoch: String },
    #[error("version {version:?} has no upstream version")]
    Empty { version: String },
    #[error("version {version:?} has nothing after its last hyphen, expected a revision")]
    NoRevision { version: String },
    #[error("version {version:?} holds {character:?}, expected letters, digits and . + ~ - :")]
    Character { version: String, character: char },
}

impl<'a> Version<'a> {
    pub fn parse(text: &'a str) -> Result<Self, VersionError> {
        let (epoch, rest) = match text.split_once(':') {
            None => (0, text),
            Some((epoch, rest)) => {
                let number = epoch.parse::<u32>().ok().filter(|number| *number <= i32::MAX as u32);
                let digits = epoch.bytes().all(|byte| byte.is_ascii_digit());
                let number = number.filter(|_| digits);
                let wrong = || VersionError::Epoch { version: text.to_owned(), epoch: epoch.to_owned() };
                (number.ok_or_else(wrong)?, rest)
            }
        };
        let (upstream, revision) = match rest.rsplit_once('-') {
            Some((_, "")) => return Err(VersionError::NoRevision { version: text.to_owned() }),
            Some(parts) => parts,
            None => (rest, ""),
        };
        // Policy wants a leading digit, yet dpkg only warns: real packages break the rule.
        if upstream.is_empty() {
            return Err(VersionError::Empty { version: text.to_owned() });
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '~' | '-' | ':');
        if let Some(character) = rest.chars().find(|c| !allowed(*c)) {
            return Err(VersionError::Character { version: text.to_owned(), character });
        }
        Ok(Self { text, epoch, upstream, revision })
    }

    pub fn as_str(&self) -> &'a str {
        self.text
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare_part(self.upstream, other.upstream))
            .then_with(|| compare_part(self.revision, other.revision))
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version<'_> {}

impl fmt::Display for Version<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl fmt::Debug for Version<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({})", self.text)
    }
}

/// Compares texts and numbers alternately: texts byte by byte in the order of [`weight`], numbers by value.
fn compare_part(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while !left.is_empty() || !right.is_empty() {
        while left.first().is_some_and(|byte| !byte.is_ascii_digit())
            || right.first().is_some_and(|byte| !byte.is_ascii_digit())
        {
            let order = weight(left.first()).cmp(&weight(right.first()));
            if order != Ordering::Equal {
                return order;
            }
            left = left.get(1..).unwrap_or_default();
            right = right.get(1..).unwrap_or_default();
        }
        let (left_number, right_number);
        (left_number, left) = split_number(left);
        (right_number, right) = split_number(right);
        // Without leading zeros the longer number is the greater one. Comparing digits cannot overflow.
        let order = left_number.len().cmp(&right_number.len()).then_with(|| left_number.cmp(right_number));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// The sort order: `~`, then the end or a digit, then letters, then all other characters.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        None => 0,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(b'~') => -1,
        Some(byte) => i32::from(*byte) + 256,
    }
}

fn split_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let start = number.iter().position(|byte| *byte != b'0').unwrap_or(number.len());
    (&number[start..], rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Results of `dpkg --compare-versions` (dpkg 1.21).
    const DPKG: &[(&str, char, &str)] = &[
        ("1.0", '=', "1.0"),
        ("1.0", '=', "1.00"),
        ("1.0", '=', "1.0-0"),
        ("1.0", '=', "0:1.0"),
        ("1.0-0", '=', "1.0-00"),
        ("0:1", '<', "1:0"),
        ("1:1", '>', "2"),
        ("2:1.0", '<', "10:0.1"),
        ("1.0~rc1", '<', "1.0"),
        ("1.0~rc1", '<', "1.0~rc2"),
        ("1.0~~", '<', "1.0~"),
        ("1.0~", '<', "1.0"),
        ("1.0~~a", '<', "1.0~"),
        ("1.0", '<', "1.0a"),
        ("1.0a", '<', "1.0+"),
        ("1.0a", '<', "1.0."),
        ("1.0+", '<', "1.0."),
        ("1.0+b1", '>', "1.0"),
        ("1.0-1", '<', "1.0-1+b1"),
        ("1.0-1+b1", '<', "1.0-1+deb13u1"),
        ("1.0-1~deb13u1", '<', "1.0-1"),
        ("1.0-1", '<', "1.0-1.1"),
        ("1.0-1.1", '<', "1.0-2"),
        ("1.0-9", '<', "1.0-10"),
        ("1.9", '<', "1.10"),
        ("1.09", '=', "1.9"),
        ("1.009", '<', "1.10"),
        ("1.a", '>', "1.1"),
        ("a.1", '>', "1.1"),
        ("1a", '<', "1b"),
        ("1A", '<', "1a"),
        ("1Z", '<', "1a"),
        ("1.0.0", '>', "1.0"),
        ("1.0.0", '<', "1.0.a"),
        ("1-1-1", '>', "1-1"),
        ("1-1-1", '>', "1-2"),
        ("1-a-1", '>', "1-a"),
        ("1.2.3-4", '>', "1.2.3-4~bpo12+1"),
        ("6.12.27-1", '<', "6.12.27-1+b1"),
        ("6.12.27-1", '<', "6.12.107+deb13+1-1"),
        ("257.5-2", '>', "257~rc1-1"),
        ("2.41-8", '<', "2.41-12"),
        ("1:10.0p1-5", '>', "1:9.9p2-1"),
        ("4.20.0+68-g35cb38b222-1", '>', "4.20.0-1"),
        ("20240709.2~deb12u1", '<', "20240709.2"),
        ("0~20200101", '<', "0"),
        ("0~", '<', "0"),
        ("0.0", '>', "0"),
        ("00", '=', "0"),
        ("1.0-~", '<', "1.0"),
        ("1.0-~1", '<', "1.0-0"),
        ("1.0-+", '>', "1.0-a"),
        ("1.0-a", '>', "1.0-1"),
        ("99999999999999999999999", '>', "99999999999999999999998"),
        ("100000000000000000000000", '>', "99999999999999999999999"),
        ("1:1-1", '=', "1:1-1"),
        ("1:1:1", '>', "1:1"),
        ("1.0+dfsg-1", '<', "1.0+ds-1"),
        ("1.0+dfsg", '>', "1.0-dfsg"),
        ("1.0~beta1~svn1245", '<', "1.0~beta1"),
        ("3.0.0~alpha", '<', "3.0.0-1"),
        ("7.6p2-4", '>', "7.6-0"),
        ("1.18.36.10", '>', "1.18.36"),
        ("1.18.36.7+git.1", '>', "1.18.36.7"),
    ];

    fn version(text: &str) -> Version<'_> {
        Version::parse(text).expect("a version")
    }

    #[test]
    fn agrees_with_dpkg() {
        for (left, sign, right) in DPKG {
            let expected = match sign {
                '<' => Ordering::Less,
                '>' => Ordering::Greater,
                _ => Ordering::Equal,
            };
            assert_eq!(version(left).cmp(&version(right)), expected, "{left} {sign} {right}");
            assert_eq!(version(right).cmp(&version(left)), expected.reverse(), "{right} and {left}");
        }
    }

    #[test]
    fn refuses_what_dpkg_refuses() {
        for text in ["", ":1", "a:1", "-1:1", "+1:1", "4294967296:1", "1:", "-1", "1.0-", "1 0", "1_0", "1.0-é", "1/0"]
        {
            assert!(Version::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn is_a_total_order(mut texts in prop::collection::vec("([0-2]:)?[0-1][0-1a~+.-]{0,5}[0-1]", 3)) {
            texts.sort_by(|a, b| version(a).cmp(&version(b)));
            let [a, b, c] = [version(&texts[0]), version(&texts[1]), version(&texts[2])];
            prop_assert!(a <= b && b <= c && a <= c);
            prop_assert_eq!(a == b && b == c, a == c);
            prop_assert_eq!(a.cmp(&c), c.cmp(&a).reverse());
        }

        #[test]
        fn never_panics(text in "\\PC{0,12}") {
            let _ = Version::parse(&text);
        }
    }
}
