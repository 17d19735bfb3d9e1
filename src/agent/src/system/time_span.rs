//! systemd.time(7)'s spans of time, as options of fstab give them: `90`, `1min 30s`, `500ms`, `infinity`.

use std::time::Duration;

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Units in microseconds. Months and years stay out: no device is waited for that long.
const UNITS: &[(&[&str], u64)] = &[
    (&["", "s", "sec", "second", "seconds"], SECOND),
    (&["m", "min", "minute", "minutes"], MINUTE),
    (&["ms", "msec"], 1000),
    (&["us", "usec", "µs", "μs"], 1),
    (&["h", "hr", "hour", "hours"], HOUR),
    (&["d", "day", "days"], DAY),
    (&["w", "week", "weeks"], 7 * DAY),
];

/// `None` for what is no span of time; [`Duration::MAX`] for `infinity`.
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim_matches(blank);
    if rest == "infinity" {
        return Some(Duration::MAX);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let after = after.trim_start_matches(blank);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.' || blank(c)).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = UNITS.iter().find(|(names, _)| names.contains(&unit))?.1;
        let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.checked_mul(unit)? };
        total = total.checked_add(whole)?;
        let mut scale = unit;
        for digit in fraction.bytes() {
            scale /= 10;
            total = total.checked_add(u64::from(digit - b'0') * scale)?;
        }
        rest = after.trim_start_matches(blank);
    }
    Some(Duration::from_micros(total))
}

fn blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_systemd_reads() {
        for (text, milliseconds) in [
            ("90", 90_000),
            ("5s", 5_000),
            ("5 sec", 5_000),
            ("2min", 120_000),
            ("2m", 120_000),
            ("1min 30s", 90_000),
            ("1min30s", 90_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            (".5", 500),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("2500us", 2),
            ("0", 0),
        ] {
            assert_eq!(parse(text).map(|span| span.as_millis()), Some(milliseconds), "{text}");
        }
        assert_eq!(parse(" infinity "), Some(Duration::MAX));
    }

    #[test]
    fn what_is_no_span_is_none() {
        for text in ["", " ", "s", "5x", "-5", "5 s s", "5min soon", ".", "1e3", "infinity s", "99999999999999999999"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
