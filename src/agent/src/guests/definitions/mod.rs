//! What the config says of guests: every `domUs/NAME/guest.toml`, read and checked.
//! A file that is wrong costs its own guest, and no other.

use crate::system::files;
use appliance_contract::guest::{self, GuestConfig, GuestName};
use appliance_contract::nearest::nearest;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

pub mod lookup;

#[cfg(test)]
mod tests;

/// A folder of `domUs` with a guest.toml in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The directory's name.
    pub name: OsString,
    /// The file's text, or why it could not be read.
    pub text: Result<String, String>,
}

/// What came of a folder: a guest, or why there is none, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The directory's name.
    pub folder: OsString,
    /// The guest, or why it is refused.
    pub outcome: Result<Guest, String>,
}

/// A guest whose definition is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Its directory's name.
    pub name: GuestName,
    /// `after` names guests as their folders are written.
    pub config: GuestConfig,
}

/// Reads the folders below `domus`, in the order of their names; those without guest.toml are none of ours.
pub fn read(domus: &Path) -> io::Result<Vec<Folder>> {
    let entries = match fs::read_dir(domus) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let path = domus.join(&name).join(guest::FILE_NAME);
        match fs::symlink_metadata(&path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            _ => found.push(Folder { text: read_file(&path), name }),
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn read_file(path: &Path) -> Result<String, String> {
    files::read_text(path, guest::MAX_SIZE).map_err(|error| format!("reading {}: {error}", path.display()))
}

/// Checks them all, each by itself and against the others.
pub fn check_all(folders: &[Folder]) -> Vec<Checked> {
    // Host names know no case; by the form that is compared, the folders that have it.
    let mut by_name: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in folders.iter().filter_map(|folder| folder.name.to_str()) {
        by_name.entry(name.to_ascii_lowercase()).or_default().push(name);
    }
    let mut checked: Vec<Checked> = folders
        .iter()
        .map(|folder| Checked { folder: folder.name.clone(), outcome: check_one(folder, &by_name) })
        .collect();
    let circles: Vec<Option<String>> = {
        let guests = in_knots(checked.iter().filter_map(|one| one.outcome.as_ref().ok()));
        let knotted = |one: &Checked| circle(guests.get(&one.outcome.as_ref().ok()?.name)?, &guests);
        checked.iter().map(knotted).collect()
    };
    for (one, circle) in checked.iter_mut().zip(circles) {
        if let Some(reason) = circle {
            one.outcome = Err(reason);
        }
    }
    checked
}

fn check_one(folder: &Folder, by_name: &BTreeMap<String, Vec<&str>>) -> Result<Guest, String> {
    let shown = folder.name.to_string_lossy();
    let bad_name = |error: String| format!("the folder's name {error}; give it a host name");
    let name: GuestName = shown.parse().map_err(|error: guest::GuestNameError| bad_name(error.to_string()))?;
    if let Some(twin) = by_name.get(&name.folded()).and_then(|all| all.iter().find(|other| **other != name.as_str())) {
        return Err(format!("the folders {name} and {twin} are one host name, as case does not count; rename one"));
    }
    let text = folder.text.as_ref().map_err(Clone::clone)?;
    let file = format!("{}/{name}/{}", guest::DIRECTORY, guest::FILE_NAME);
    let mut config = GuestConfig::parse(text).map_err(|error| format!("{file}: {error}"))?;
    let mut after = std::collections::BTreeSet::new();
    for other in &config.after {
        if other.folded() == name.folded() {
            return Err(format!("{file}: after: names the guest itself; take it out"));
        }
        let known = by_name.get(&other.folded()).and_then(|all| all.first()?.parse().ok());
        match known {
            Some(known) => after.insert(known),
            None => {
                let names: Vec<&str> =
                    by_name.values().flatten().copied().filter(|near| *near != name.as_str()).collect();
                let near = nearest(other.as_str(), &names).map(|near| format!(" (did you mean {near}?)"));
                let near = near.unwrap_or_default();
                return Err(format!("{file}: after: no guest is named {other}{near}; name another, or take it out"));
            }
        };
    }
    config.after = after;
    Ok(Guest { name, config })
}

/// Those that are after one another in a circle, or between two circles: searching
/// each guest's way back takes long where there are thousands, and most have none.
fn in_knots<'a>(guests: impl Iterator<Item = &'a Guest>) -> BTreeMap<&'a GuestName, &'a Guest> {
    let mut left: BTreeMap<&GuestName, &Guest> = guests.map(|guest| (&guest.name, guest)).collect();
    // What is after none of those left is in no circle, nor is what none of those left is after.
    for backwards in [false, true] {
        let mut waits: BTreeMap<&GuestName, usize> = left.keys().map(|&name| (name, 0)).collect();
        let mut freed: BTreeMap<&GuestName, Vec<&GuestName>> = BTreeMap::new();
        for (&name, guest) in &left {
            for other in guest.config.after.iter().filter(|other| left.contains_key(other)) {
                let (first, then) = if backwards { (name, other) } else { (other, name) };
                freed.entry(first).or_default().push(then);
                *waits.entry(then).or_default() += 1;
            }
        }
        let mut free: Vec<&GuestName> = waits.iter().filter(|(_, count)| **count == 0).map(|(&name, _)| name).collect();
        while let Some(name) = free.pop() {
            left.remove(name);
            for &then in freed.get(name).into_iter().flatten() {
                if let Some(count) = waits.get_mut(then) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(then);
                    }
                }
            }
        }
    }
    left
}

/// The shortest way along `after` from a guest back to itself.
fn circle(start: &Guest, by_name: &BTreeMap<&GuestName, &Guest>) -> Option<String> {
    let mut came_from: BTreeMap<&GuestName, &GuestName> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(at) = next.pop_front() {
        for other in &at.config.after {
            if *other == start.name {
                let mut way = vec![start.name.as_str(), at.name.as_str()];
                let mut name = &at.name;
                while let Some(before) = came_from.get(name) {
                    way.push(before.as_str());
                    name = before;
                }
                way.reverse();
                return Some(format!("after makes a circle: {}; take one of them out", way.join(" is after ")));
            }
            if let Some(guest) = by_name.get(other)
                && !came_from.contains_key(other)
            {
                came_from.insert(other, &at.name);
                next.push_back(*guest);
            }
        }
    }
    None
}
