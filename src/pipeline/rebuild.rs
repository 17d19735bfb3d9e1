//! The record `rebuild` of an image: how to build the same bytes again.

use super::Assembled;
use crate::format::squashfs::Compression;
use crate::identity;
use crate::output::catalog::NAMES;
use crate::packages::Lock;
use time::OffsetDateTime;

/// Of what belongs to the line above.
const INDENT: &str = "             ";

impl Assembled {
    /// The text, which is the same for the same image.
    pub(super) fn rebuild(&self) -> String {
        let Self { resolved, name: image, manifest, .. } = self;
        let (profile, lock, version) = (&resolved.request.profile, &resolved.lock, &image.version);
        let name = &profile.name;
        let (command, file) = (resolved.request.kind.command(), image.file());
        let (lock_file, build_file) = (image.record_file("lock"), image.record_file("build.json"));
        let level = match profile.root.compression {
            Compression::Zstd { level } => level.to_string(),
            Compression::Xz { level } | Compression::Gzip { level } => level.to_string(),
        };
        let date = match resolved.source_date == lock.date {
            true => String::new(),
            false => format!("SOURCE_DATE_EPOCH={} ", resolved.source_date),
        };
        let number = match *version == profile.version {
            true => String::new(),
            false => format!(
                "The build number is part of the image, so give the name in a new folder of images first:\n\n  \
                 mkdir -p images && echo {} >>images/{NAMES}\n\n",
                image.line()
            ),
        };
        let mut text = format!(
            "How to get the bytes of {file} again\n\n  \
             {date}applbuild {command} --profile {name} --level {level} --lock {lock_file}\n\n{number}\
             Without mirrors, from a folder that `applbuild archive export DIR --lock {lock_file}` made:\n\n  \
             applbuild archive import DIR\n  \
             {date}applbuild {command} --profile {name} --level {level} --lock {lock_file} --offline\n\n\
             What it takes:\n  \
             lock       SHA-256 {}\n  \
             applbuild  of which `applbuild --version` says\n{}  \
             profile    {name} with its files, and the templates, as they were: inputs-sha256 in {build_file}\n\n\
             The archives were at:\n",
            resolved.lock_sha256,
            identity::described(&manifest.applbuild)
                .lines()
                .map(|line| format!("{INDENT}{line}\n"))
                .collect::<String>(),
        );
        archives(lock, &mut text);
        text
    }
}

fn archives(lock: &Lock, text: &mut String) {
    for suite in &lock.suites {
        let moment = OffsetDateTime::from_unix_timestamp(suite.date).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (date, hour, minute, second) = (moment.date(), moment.hour(), moment.minute(), moment.second());
        text.push_str(&format!(
            "  {} {}: InRelease of {date} {hour:02}:{minute:02}:{second:02} UTC, SHA-256 {}\n",
            suite.archive, suite.name, suite.inrelease_sha256
        ));
    }
    for guest in &lock.guests {
        text.push_str(&format!("for the guest {}:\n", guest.profile));
        archives(guest, text);
    }
}
