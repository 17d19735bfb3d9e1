//! A suite's Release file: its suite, its age, and the hashes of its indices.

use super::file_hash::FileHash;
use std::collections::BTreeMap;
use time::{Date, Month, Time};

/// The fields of a Release file that are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `Suite`: `stable`, `stable-updates` …
    pub suite: String,
    /// `Codename`: `trixie`, `trixie-updates` …
    pub codename: String,
    /// `Date`, in seconds since 1970.
    pub date: i64,
    /// `Valid-Until`, in seconds since 1970.
    pub valid_until: Option<i64>,
    /// Whether files can be fetched by their hash, below `by-hash`.
    pub acquire_by_hash: bool,
    /// False for backports and similar suites (`NotAutomatic: yes`): their packages are used only if requested by
    /// version, or if no other suite has the name.
    pub automatic: bool,
    /// `Architectures`; empty if the file has no such field.
    pub architectures: Vec<String>,
    /// Whether the index of every architecture contains the packages of the architecture `all`, so that `binary-all`
    /// has no others (`No-Support-for-Architecture-all: Packages`).
    pub all_is_everywhere: bool,
    /// `Components`; empty if the file has no such field.
    pub components: Vec<String>,
    /// Path below the suite's directory → expected size and hash.
    pub files: BTreeMap<String, FileEntry>,
}

/// A line of the field `SHA256` or `SHA512`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileEntry {
    /// Size of the file in bytes.
    pub size: u64,
    /// The hash of the file.
    pub hash: FileHash,
}

/// Why a Release file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// A line that cannot be parsed.
    #[error("line {line}: found {found:?}, expected {expected}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The line.
        found: String,
        /// The expected form.
        expected: &'static str,
    },
    /// It lists neither SHA-256 nor SHA-512.
    #[error(
        "found no SHA256 and no SHA512, expected one of them: MD5 and SHA-1 can be forged; the archive's owner must add one"
    )]
    NoHashes,
    /// It belongs to another suite.
    #[error("found the suite {codename} ({suite}), expected {wanted}")]
    OtherSuite {
        /// Its codename.
        codename: String,
        /// Its suite.
        suite: String,
        /// The suite that was asked for.
        wanted: String,
    },
    /// It has expired.
    #[error(
        "it was valid until {} and it is {} now: the mirror has not been updated, or the machine's clock is wrong; pass another mirror with --mirror, or build from the lock",
        date(*.until), date(*.now)
    )]
    Expired {
        /// `Valid-Until`, in seconds since 1970.
        until: i64,
        /// This machine's time, in seconds since 1970.
        now: i64,
    },
    /// It is dated after this machine's time.
    #[error("it is dated {} and it is {} now: the machine's clock is wrong, or the mirror lies", date(*.dated), date(*.now))]
    Future {
        /// `Date`, in seconds since 1970.
        dated: i64,
        /// This machine's time, in seconds since 1970.
        now: i64,
    },
}

/// How far a mirror's clock may be ahead of ours, in seconds.
const CLOCK_SLACK: i64 = 3600;

impl Release {
    /// Parses the signed text. Unused fields are skipped. If Date is missing or invalid, `signed`, the time of the
    /// signature, replaces it: apt accepts such a file, too.
    pub fn parse(text: &str, signed: i64) -> Result<Self, ReleaseError> {
        let mut fields: BTreeMap<String, (usize, &str)> = BTreeMap::new();
        let (mut files, mut weaker) = (BTreeMap::new(), BTreeMap::new());
        let mut field = String::new();
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            let fail = |expected| ReleaseError::Line { line: number, found: line.to_owned(), expected };
            if line.trim().is_empty() {
                continue;
            }
            if line.starts_with([' ', '\t']) {
                let list = match field.as_str() {
                    "sha256" => &mut files,
                    "sha512" => &mut weaker,
                    _ => continue,
                };
                let (path, entry) = parse_file(line).ok_or_else(|| fail("a hash, a size and a path"))?;
                if list.insert(path.to_owned(), entry).is_some_and(|before| before != entry) {
                    return Err(fail("one hash a file"));
                }
                continue;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| fail("a field, a colon and a value"))?;
            field = name.to_ascii_lowercase();
            if fields.insert(field.clone(), (number, value.trim())).is_some() {
                return Err(fail("a field that was not there before"));
            }
        }
        let get = |name: &str| fields.get(name).copied();
        let text = |name: &str| get(name).map_or(String::new(), |(_, value)| value.to_owned());
        let words = |name: &str| -> Vec<String> { text(name).split_whitespace().map(str::to_owned).collect() };
        let valid_until = match get("valid-until") {
            Some((line, value)) => Some(parse_date(value).ok_or_else(|| {
                let expected = "a date such as Sat, 12 Sep 2026 07:55:41 UTC";
                ReleaseError::Line { line, found: value.to_owned(), expected }
            })?),
            None => None,
        };
        if !fields.contains_key("sha256") && !fields.contains_key("sha512") {
            return Err(ReleaseError::NoHashes);
        }
        for (path, entry) in weaker {
            files.entry(path).or_insert(entry);
        }
        Ok(Self {
            suite: text("suite"),
            codename: text("codename"),
            date: get("date").and_then(|(_, value)| parse_date(value)).unwrap_or(signed),
            valid_until,
            acquire_by_hash: text("acquire-by-hash") == "yes",
            automatic: text("notautomatic") != "yes",
            architectures: words("architectures"),
            all_is_everywhere: words("no-support-for-architecture-all").iter().any(|word| word == "Packages"),
            components: words("components"),
            files,
        })
    }

    /// Checks that this is the requested suite, by its codename or its current suite name (`stable`). A file that names
    /// no suite is accepted, as it cannot be compared. The file may name only the beginning of a suite with slashes:
    /// that of Debian's `buster/updates` named `buster`.
    pub fn check_suite(&self, wanted: &str) -> Result<(), ReleaseError> {
        let names = [&self.codename, &self.suite];
        let is = |name: &str| wanted.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if names.iter().all(|name| name.is_empty()) || names.iter().any(|name| !name.is_empty() && is(name)) {
            return Ok(());
        }
        let (codename, suite) = (self.codename.clone(), self.suite.clone());
        Err(ReleaseError::OtherSuite { codename, suite, wanted: wanted.to_owned() })
    }

    /// Checks that the date is not in the future, and that `Valid-Until`, if present, has not passed.
    pub fn check_age(&self, now: i64) -> Result<(), ReleaseError> {
        if self.date > now.saturating_add(CLOCK_SLACK) {
            return Err(ReleaseError::Future { dated: self.date, now });
        }
        match self.valid_until {
            Some(until) if now > until => Err(ReleaseError::Expired { until, now }),
            _ => Ok(()),
        }
    }

    /// The components by the names that sources use: `main` for `updates/main` of the security archive.
    pub fn component_names(&self) -> impl Iterator<Item = &str> {
        self.components.iter().map(|name| name.rsplit('/').next().unwrap_or(name))
    }

    /// Whether it names the component, or names none at all.
    pub fn may_have_component(&self, wanted: &str) -> bool {
        let mut names = self.component_names().chain(self.components.iter().map(String::as_str)).peekable();
        names.peek().is_none() || names.any(|name| name == wanted)
    }

    /// Whether it names the architecture, or names none at all.
    pub fn may_have_architecture(&self, wanted: &str) -> bool {
        self.architectures.is_empty() || self.architectures.iter().any(|name| name == wanted)
    }
}

fn parse_file(line: &str) -> Option<(&str, FileEntry)> {
    let mut words = line.split_whitespace();
    let hash = words.next()?;
    let hash = hash.parse().map(FileHash::Sha256).or_else(|_| hash.parse().map(FileHash::Sha512)).ok()?;
    let size = words.next()?.parse().ok()?;
    let path = words.next()?;
    words.next().is_none().then_some((path.trim_start_matches("./"), FileEntry { size, hash }))
}

/// The three forms of RFC 7231, 7.1.1.1: `Sat, 12 Sep 2026 07:55:41 UTC`, `Saturday, 12-Sep-26 07:55:41 GMT` and
/// `Sat Sep 12 07:55:41 2026`; the zone may be an offset as well.
pub(in crate::packages) fn parse_date(text: &str) -> Option<i64> {
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let words: Vec<&str> = text.split_whitespace().collect();
    let (day, month, year, clock, zone) = match words[..] {
        [weekday, month, day, clock, year] if !weekday.starts_with(|first: char| first.is_ascii_digit()) => {
            (day, month, year, clock, "UTC")
        }
        [day, month, year, clock, zone] => (day, month, year, clock, zone),
        [date, clock, zone] => {
            let mut parts = date.split('-');
            let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
            parts.next().is_none().then_some((day, month, year, clock, zone))?
        }
        _ => return None,
    };
    let month = MONTHS.iter().position(|name| *name == month)? as u8 + 1;
    let year = match (year.len(), year.parse::<i32>().ok()?) {
        (2, year @ 70..) => 1900 + year,
        (2, year) => 2000 + year,
        (_, year) => year,
    };
    let mut parts = clock.split(':').map(|part| part.parse::<u8>().ok());
    let mut part = || parts.next().flatten();
    let time = Time::from_hms(part()?, part()?, part()?).ok()?;
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day.parse().ok()?).ok()?;
    let ended = parts.next().is_none();
    let moment = date.with_time(time).assume_utc().unix_timestamp();
    ended.then_some(moment - offset(zone)?)
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds that a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "UTC" | "GMT" | "Z") {
        return Some(0);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Formats a time for messages.
pub(in crate::packages) fn date(seconds: i64) -> String {
    match time::OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(moment) => {
            let (hour, minute, second) = moment.to_hms();
            format!("{} {hour:02}:{minute:02}:{second:02} UTC", moment.date())
        }
        Err(_) => format!("{seconds} s since 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::archive::file_hash::Sha512;
    use appliance_contract::causes::WithCauses as _;
    use proptest::prelude::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    const SIGNED: i64 = 1_795_000_000;

    fn sample() -> String {
        format!(
            "Origin: Debian\nSuite: stable-security\nCodename: trixie-security\n\
             Date: Wed, 18 Nov 2026 22:17:43 UTC\nValid-Until: Wed, 25 Nov 2026 22:17:43 UTC\n\
             Acquire-By-Hash: yes\nArchitectures: all amd64\nComponents: updates/main updates/contrib\n\
             MD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 main/binary-amd64/Packages\n\
             SHA256:\n {HASH}        0 main/binary-amd64/Packages\n"
        )
    }

    #[test]
    fn reads_what_a_refresh_needs() {
        let release = Release::parse(&sample(), SIGNED).unwrap();
        assert_eq!((release.suite.as_str(), release.codename.as_str()), ("stable-security", "trixie-security"));
        assert_eq!((release.date, release.valid_until), (1_795_040_263, Some(1_795_645_063)));
        assert!(release.acquire_by_hash);
        assert_eq!(release.component_names().collect::<Vec<_>>(), ["main", "contrib"]);
        assert_eq!(
            release.files["main/binary-amd64/Packages"],
            FileEntry { size: 0, hash: FileHash::Sha256(crate::util::sha256::of("")) }
        );
        assert_eq!(release.files.len(), 1);
    }

    #[test]
    fn is_the_suite_asked_for_or_none() {
        let release = Release::parse(&sample(), SIGNED).unwrap();
        assert_eq!(release.check_suite("trixie-security"), Ok(()));
        assert_eq!(release.check_suite("stable-security"), Ok(()));
        let said = release.check_suite("bookworm-security").unwrap_err().with_causes();
        assert_eq!(said, "found the suite trixie-security (stable-security), expected bookworm-security");
    }

    #[test]
    fn its_time_is_checked_at_both_ends() {
        let release = Release::parse(&sample(), SIGNED).unwrap();
        assert_eq!(release.check_age(release.date), Ok(()));
        assert_eq!(release.check_age(release.date - 3600), Ok(()));
        assert!(matches!(release.check_age(release.date - 3601), Err(ReleaseError::Future { .. })));
        assert_eq!(release.check_age(1_795_645_063), Ok(()));
        let said = release.check_age(1_795_645_064).unwrap_err().with_causes();
        assert!(
            said.starts_with("it was valid until 2026-11-25 22:17:43 UTC and it is 2026-11-25 22:17:44 UTC"),
            "{said}"
        );
    }

    #[test]
    fn refuses_what_is_not_a_release_file() {
        let refused = |text: &str| Release::parse(text, SIGNED).unwrap_err().with_causes();
        let md5 = "Date: Sat, 12 Sep 2026 07:55:41 UTC\nMD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 Packages\n";
        assert!(refused(md5).starts_with("found no SHA256 and no SHA512, expected one of them"));
        assert!(refused("hello\n").starts_with("line 1: found \"hello\""));
        assert!(refused("Valid-Until: x\nSHA256:\n").contains("expected a date such as"));
        assert!(refused("SHA256:\n abc 0 path\n").contains("a hash, a size and a path"));
        assert!(refused(&format!("SHA256:\n {HASH} 0 a\n {HASH} 1 a\n")).contains("one hash a file"));
        assert!(refused("Suite: a\nSuite: b\n").contains("a field that was not there before"));
    }

    #[test]
    fn what_a_small_archive_leaves_out_is_not_needed() {
        let sha512 = Sha512::of("");
        let text = format!("SHA512:\n {sha512} 0 ./Packages\n {sha512} 0 b\nSHA256:\n {HASH} 0 b\n");
        let release = Release::parse(&text, SIGNED).unwrap();
        assert_eq!(release.date, SIGNED);
        assert_eq!(release.files["Packages"], FileEntry { size: 0, hash: FileHash::Sha512(sha512) });
        assert_eq!(release.files["b"].hash, FileHash::Sha256(crate::util::sha256::of("")));
        assert_eq!(release.check_suite("anything"), Ok(()));
        assert!(release.may_have_component("main") && release.may_have_architecture("amd64"));
        // An invalid Date counts as missing.
        assert_eq!(Release::parse("Date: yesterday\nSHA256:\n", SIGNED).unwrap().date, SIGNED);
    }

    #[test]
    fn a_suite_with_slashes_may_name_its_beginning_only() {
        let release = Release::parse("Codename: buster\nSHA256:\n", SIGNED).unwrap();
        assert_eq!(release.check_suite("buster/updates"), Ok(()));
        assert!(release.check_suite("buster-updates").is_err());
        assert!(release.check_suite("updates/buster").is_err());
    }

    #[test]
    fn reads_dates() {
        assert_eq!(parse_date("Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
        assert_eq!(parse_date("Thu, 1 Jan 1970 08:00:00 +0800"), Some(0));
        assert_eq!(parse_date("Wed, 31 Dec 1969 19:30:00 -0430"), Some(0));
        assert_eq!(parse_date("Thursday, 01-Jan-70 00:00:00 GMT"), Some(0));
        assert_eq!(parse_date("Thu Jan  1 00:00:00 1970"), Some(0));
        for wrong in ["01 Jan 1970 00:00:00 +08", "01 Jan 1970 00:00:00 +1500", "01 Jan 1970 00:00:00 +0é0"] {
            assert_eq!(parse_date(wrong), None, "{wrong}");
        }
        assert_eq!(parse_date("29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        for wrong in ["", "Thu, 30 Feb 2024 00:00:00 UTC", "Thu, 01 Jan 1970 24:00:00 UTC", "01 Jan 1970 00:00 UTC"] {
            assert_eq!(parse_date(wrong), None, "{wrong}");
        }
        assert_eq!(parse_date("Thu, 01 Jan 1970 00:00:00 CET"), None);
        assert_eq!(date(1_709_251_199), "2024-02-29 23:59:59 UTC");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(Date|SHA256|Suite|Valid-Until|:| |\n|,|Jan|é|[0-9a-f]{1,4}|UTC){0,60}") {
            let _ = Release::parse(&text, SIGNED);
            let _ = parse_date(&text);
        }

        #[test]
        fn a_date_that_is_shown_is_read_back(seconds in 0i64..10_000_000_000) {
            let moment = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            let (hour, minute, second) = moment.to_hms();
            let month = &moment.month().to_string()[..3];
            let text = format!("Mon, {:02} {month} {} {hour:02}:{minute:02}:{second:02} UTC", moment.day(), moment.year());
            prop_assert_eq!(parse_date(&text), Some(seconds));
        }
    }
}
