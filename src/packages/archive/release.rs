//! A suite's Release file: what it is, how old, and the hashes of its indices.

use appliance_contract::Sha256;
use std::collections::BTreeMap;
use time::{Date, Month, Time};

/// The fields of a Release file that are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `Suite`: `stable`, `stable-updates` …
    pub suite: String,
    /// `Codename`: `trixie`, `trixie-updates` …
    pub codename: String,
    /// Seconds since 1970.
    pub date: i64,
    /// `Valid-Until`, in seconds since 1970.
    pub valid_until: Option<i64>,
    /// Whether files can be fetched by their hash, below `by-hash`.
    pub acquire_by_hash: bool,
    /// Off for backports and the like: their packages are taken when asked for by version,
    /// or when no other suite has the name.
    pub automatic: bool,
    /// `Architectures`.
    pub architectures: Vec<String>,
    /// `Components`.
    pub components: Vec<String>,
    /// Path below the suite's folder → what it must be.
    pub files: BTreeMap<String, FileEntry>,
}

/// A line of the field `SHA256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileEntry {
    /// Bytes of the file.
    pub size: u64,
    /// What the file hashes to.
    pub sha256: Sha256,
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
        /// The form.
        expected: &'static str,
    },
    /// A field that is needed is not there.
    #[error("found no {field}, expected one")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// It is of another suite.
    #[error("found the suite {codename} ({suite}), expected {wanted}")]
    OtherSuite {
        /// Its codename.
        codename: String,
        /// Its suite.
        suite: String,
        /// The suite that was asked for.
        wanted: String,
    },
    /// It is too old now.
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
    /// Reads the signed text. Fields that we do not use are passed over.
    pub fn parse(text: &str) -> Result<Self, ReleaseError> {
        let mut fields: BTreeMap<String, (usize, &str)> = BTreeMap::new();
        let mut files = BTreeMap::new();
        let mut field = String::new();
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            let fail = |expected| ReleaseError::Line { line: number, found: line.to_owned(), expected };
            if line.trim().is_empty() {
                continue;
            }
            if line.starts_with([' ', '\t']) {
                if field == "sha256" {
                    let (path, entry) = parse_file(line).ok_or_else(|| fail("a SHA-256, a size and a path"))?;
                    if files.insert(path.to_owned(), entry).is_some_and(|before| before != entry) {
                        return Err(fail("one hash a file"));
                    }
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
        let words = |name: &str| text(name).split_whitespace().map(str::to_owned).collect();
        let moment = |name| match get(name) {
            Some((line, value)) => match parse_date(value) {
                Some(seconds) => Ok(Some(seconds)),
                None => {
                    let expected = "a date such as Sat, 12 Sep 2026 07:55:41 UTC";
                    Err(ReleaseError::Line { line, found: value.to_owned(), expected })
                }
            },
            None => Ok(None),
        };
        if !fields.contains_key("sha256") {
            return Err(ReleaseError::Missing { field: "SHA256" });
        }
        Ok(Self {
            suite: text("suite"),
            codename: text("codename"),
            date: moment("date")?.ok_or(ReleaseError::Missing { field: "Date" })?,
            valid_until: moment("valid-until")?,
            acquire_by_hash: text("acquire-by-hash") == "yes",
            automatic: text("notautomatic") != "yes",
            architectures: words("architectures"),
            components: words("components"),
            files,
        })
    }

    /// That this is the suite asked for, under its own name or the one it has for now (`stable`).
    pub fn check_suite(&self, wanted: &str) -> Result<(), ReleaseError> {
        if wanted == self.codename || wanted == self.suite {
            return Ok(());
        }
        let (codename, suite) = (self.codename.clone(), self.suite.clone());
        Err(ReleaseError::OtherSuite { codename, suite, wanted: wanted.to_owned() })
    }

    /// That it is neither of the future nor, where it has a term, of the past.
    pub fn check_age(&self, now: i64) -> Result<(), ReleaseError> {
        if self.date > now.saturating_add(CLOCK_SLACK) {
            return Err(ReleaseError::Future { dated: self.date, now });
        }
        match self.valid_until {
            Some(until) if now > until => Err(ReleaseError::Expired { until, now }),
            _ => Ok(()),
        }
    }

    /// The components by the names that sources use: the security archive's are `updates/main`.
    pub fn component_names(&self) -> impl Iterator<Item = &str> {
        self.components.iter().map(|name| name.rsplit('/').next().unwrap_or(name))
    }
}

fn parse_file(line: &str) -> Option<(&str, FileEntry)> {
    let mut words = line.split_whitespace();
    let sha256 = words.next()?.parse().ok()?;
    let size = words.next()?.parse().ok()?;
    let path = words.next()?;
    words.next().is_none().then_some((path, FileEntry { size, sha256 }))
}

/// RFC 7231, 7.1.1.1 as Release files write it: `Sat, 12 Sep 2026 07:55:41 UTC`.
pub(in crate::packages) fn parse_date(text: &str) -> Option<i64> {
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let words: Vec<&str> = text.split_whitespace().collect();
    let [day, month, year, clock, "UTC" | "GMT" | "Z" | "+0000"] = words[..] else { return None };
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.iter().position(|name| *name == month)? as u8 + 1;
    let mut parts = clock.split(':').map(|part| part.parse::<u8>().ok());
    let mut part = || parts.next().flatten();
    let time = Time::from_hms(part()?, part()?, part()?).ok()?;
    let date = Date::from_calendar_date(year.parse().ok()?, Month::try_from(month).ok()?, day.parse().ok()?).ok()?;
    parts.next().is_none().then(|| date.with_time(time).assume_utc().unix_timestamp())
}

/// A moment for a message.
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
    use appliance_contract::causes::WithCauses as _;
    use proptest::prelude::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

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
        let release = Release::parse(&sample()).unwrap();
        assert_eq!((release.suite.as_str(), release.codename.as_str()), ("stable-security", "trixie-security"));
        assert_eq!((release.date, release.valid_until), (1_795_040_263, Some(1_795_645_063)));
        assert!(release.acquire_by_hash);
        assert_eq!(release.component_names().collect::<Vec<_>>(), ["main", "contrib"]);
        assert_eq!(
            release.files["main/binary-amd64/Packages"],
            FileEntry { size: 0, sha256: crate::util::sha256::of("") }
        );
        assert_eq!(release.files.len(), 1);
    }

    #[test]
    fn is_the_suite_asked_for_or_none() {
        let release = Release::parse(&sample()).unwrap();
        assert_eq!(release.check_suite("trixie-security"), Ok(()));
        assert_eq!(release.check_suite("stable-security"), Ok(()));
        let said = release.check_suite("bookworm-security").unwrap_err().with_causes();
        assert_eq!(said, "found the suite trixie-security (stable-security), expected bookworm-security");
    }

    #[test]
    fn its_time_is_checked_at_both_ends() {
        let release = Release::parse(&sample()).unwrap();
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
        let refused = |text: &str| Release::parse(text).unwrap_err().with_causes();
        assert_eq!(refused("SHA256:\n"), "found no Date, expected one");
        assert_eq!(refused("Date: Sat, 12 Sep 2026 07:55:41 UTC\n"), "found no SHA256, expected one");
        assert!(refused("hello\n").starts_with("line 1: found \"hello\""));
        assert!(refused("Date: x\nSHA256:\n").contains("expected a date such as"));
        assert!(refused("SHA256:\n abc 0 path\n").contains("a SHA-256, a size and a path"));
        assert!(refused(&format!("SHA256:\n {HASH} 0 a\n {HASH} 1 a\n")).contains("one hash a file"));
        assert!(refused("Suite: a\nSuite: b\n").contains("a field that was not there before"));
    }

    #[test]
    fn reads_dates() {
        assert_eq!(parse_date("Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
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
            let _ = Release::parse(&text);
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
