//! Prints how a lock has changed, and which locked packages have newer versions.

use crate::cli::flags::common::Common;
use crate::cli::report::output::{self, Verbosity};
use applbuild::packages::lock::{Change, Changes};
use applbuild::pipeline::{LockOutcome, Outdated};
use serde_json::json;
use std::path::Path;

/// Prints whether the profile's lock was created or changed.
pub fn print_outcome(common: &Common, path: &Path, outcome: &LockOutcome) {
    let what = match outcome {
        LockOutcome::Unchanged => "unchanged",
        LockOutcome::Made => "made",
        LockOutcome::Changed(_) => "changed",
    };
    if common.json {
        output::event("lock", json!({"path": path, "outcome": what}));
    } else if *outcome != LockOutcome::Unchanged {
        output::result(format_args!("{}: {what}\n", path.display()));
    }
    if let (LockOutcome::Changed(changes), Verbosity::Usual | Verbosity::Verbose) = (outcome, output::verbosity()) {
        print(common, changes);
    }
}

/// Prints the changes of a lock and of its guests' locks.
pub fn print(common: &Common, changes: &Changes) {
    print_of(common, None, changes);
    for (name, changes) in &changes.guests {
        print_of(common, Some(name), changes);
    }
}

fn print_of(common: &Common, guest: Option<&str>, changes: &Changes) {
    for (kind, list) in changes.lists() {
        for (name, change) in list {
            let text = shown(kind, change);
            if common.json {
                let fields = json!({"guest": guest, "of": kind, "name": name, "change": change.name(), "text": text});
                output::event("lock-change", fields);
            } else {
                let guest = guest.map(|guest| format!("{guest}: ")).unwrap_or_default();
                output::text(format_args!("  {guest}{kind} {name}: {text}\n"));
            }
        }
    }
}

/// The text of a change. Suites are shown by the date of their Release files.
fn shown(kind: &str, change: &Change) -> String {
    let date = |seconds: &String| {
        let moment = seconds.parse().ok().and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok());
        moment.map_or_else(
            || seconds.clone(),
            |moment| format!("{} {:02}:{:02} UTC", moment.date(), moment.hour(), moment.minute()),
        )
    };
    match change {
        Change::Upgraded { from, to } if kind == "suite" => format!("from {} to {}", date(from), date(to)),
        Change::Downgraded { from, to } if kind == "suite" => format!("back from {} to {}", date(from), date(to)),
        Change::Added { to } if kind == "suite" => format!("added, of {}", date(to)),
        Change::Removed { from } if kind == "suite" => format!("removed, of {}", date(from)),
        other => other.to_string(),
    }
}

/// Prints the packages of a lock that have newer versions.
pub fn print_outdated(common: &Common, found: &[Outdated]) {
    for Outdated { guest, name, locked, newest, archive, suite, security } in found {
        if common.json {
            let fields = json!({
                "guest": guest, "name": name, "locked": locked, "newest": newest, "archive": archive, "suite": suite,
                "security": security,
            });
            output::event("outdated", fields);
        } else {
            let guest = guest.as_ref().map(|guest| format!("{guest}: ")).unwrap_or_default();
            let urgent = if *security { ", security" } else { "" };
            output::text(format_args!("  {guest}{name}: {locked}, newest {newest} ({archive} {suite}{urgent})\n"));
        }
    }
    if !common.json {
        let urgent = found.iter().filter(|outdated| outdated.security).count();
        output::result(format_args!("outdated: {}, in security suites: {urgent}\n", found.len()));
    }
}
