//! Guests for people: the table of all, and one with its story.

use super::status_text::span;
use crate::guests::overview::{Overview, Versions};

const HEADS: [&str; 8] = ["NAME", "STATE", "IMAGE", "MEMORY", "UP", "RESTARTS", "RUNS AS", "LAST FAILURE"];

pub fn table(guests: &[Overview]) -> String {
    let rows: Vec<[String; 8]> = std::iter::once(HEADS.map(str::to_owned)).chain(guests.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // A reason may be longer than format! can pad.
            line += cell;
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn row(guest: &Overview) -> [String; 8] {
    let none = || "-".to_owned();
    let image = match (&guest.image, &guest.version) {
        (Some(image), Some(version)) => format!("{image} {version}"),
        _ => guest.wants.clone().unwrap_or_else(none),
    };
    let failure = guest.refused.clone().or_else(|| guest.last_failure.as_ref().map(|failure| failure.reason.clone()));
    let state = match &guest.ready_state {
        Some(state) if state != "running" => format!("{} ({state})", guest.state),
        _ => guest.state.clone(),
    };
    [
        guest.name.clone(),
        state,
        image,
        guest.memory_mib.map_or_else(none, |memory| format!("{memory}M")),
        guest.uptime_s.map_or_else(none, span),
        guest.restarts.map_or_else(none, |restarts| restarts.to_string()),
        runs_as(guest).unwrap_or_else(none),
        failure.unwrap_or_else(none),
    ]
    // A folder may be called whatever it likes, and this goes to a terminal.
    .map(|cell| cell.replace(char::is_control, "?"))
}

fn runs_as(guest: &Overview) -> Option<String> {
    let domain = guest.domain.map(|domain| format!("domain {domain}"));
    domain.or_else(|| guest.pid.map(|pid| format!("process {pid}")))
}

/// One guest. `versions` is there where its guest.toml could be taken.
pub fn show(guest: &Overview, versions: Option<&Versions>, memory_only: bool) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            text += &format!("{key:<14}{}\n", value.replace(char::is_control, "?"));
        }
    };
    line("guest", Some(guest.name.clone()));
    line("state", Some(guest.state.clone()));
    line("reported", guest.ready_state.clone());
    line("refused", guest.refused.clone());
    line("unit", Some(guest.unit.clone()));
    line("wants", guest.wants.clone());
    let image = guest.image.as_ref().zip(guest.version.as_ref());
    line("image", image.map(|(image, version)| format!("{image} {version}")));
    line(
        "runs as",
        runs_as(guest).map(|runs| match guest.hypervisor {
            Some(hypervisor) => format!("{runs} ({})", hypervisor.name()),
            None => runs,
        }),
    );
    line("memory", guest.memory_mib.map(|memory| format!("{memory} MiB")));
    line("up", guest.uptime_s.map(span));
    line("restarts", guest.restarts.map(|restarts| restarts.to_string()));
    line("console", guest.console.as_ref().map(|_| format!("appliance guest console {}", guest.name)));
    line(
        "last failure",
        guest.last_failure.as_ref().map(|failure| format!("{}: {}", date(failure.at), failure.reason)),
    );
    guest.notes.iter().for_each(|note| line("note", Some(note.clone())));
    let Some(versions) = versions else { return text };
    let chosen = versions.chosen.clone().unwrap_or_else(|| "the newest".to_owned());
    line("chosen", Some(chosen));
    line("last good", versions.good.clone());
    line("rollback to", versions.before.clone());
    line("not ready", (!versions.failed.is_empty()).then(|| versions.failed.join(", ")));
    versions.available.iter().for_each(|(version, place)| line("available", Some(format!("{version}: {place}"))));
    versions.broken.iter().for_each(|(place, reason)| line("broken", Some(format!("{place}: {reason}"))));
    versions.story.iter().for_each(|event| line("story", Some(format!("{}: {}", date(event.at), event.text))));
    if memory_only {
        line("note", Some(MEMORY_ONLY.to_owned()));
    }
    text
}

pub const MEMORY_ONLY: &str =
    "/var is in memory here: what is chosen is forgotten at the next boot; give the node a partition for /var";

/// In UTC; days to a date after Howard Hinnant, "chrono-compatible low-level date algorithms".
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, after) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year_of_era + era * 400 + after;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00:00");
        assert_eq!(date(951_827_696), "2000-02-29 12:34:56");
        assert_eq!(date(1_793_500_000), "2026-11-01 02:26:40");
    }
}
