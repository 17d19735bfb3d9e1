//! Guests for people: the table of all, and one with its story.

use super::time_text::{date, span};
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
