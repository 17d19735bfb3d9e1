//! dpkg's triggers (deb-triggers(5)): who waits for what, in `/var/lib/dpkg/triggers`.

use crate::rootfs::error::AssembleError;
use crate::rootfs::unpack::package::Package;
use crate::util::file_error::At as _;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// (trigger, whether the one that activates it waits)
fn interests(text: &[u8]) -> Vec<(String, bool)> {
    String::from_utf8_lossy(text)
        .lines()
        .filter_map(|line| {
            let mut words = line.split('#').next()?.split_whitespace();
            let waits = match words.next()? {
                "interest" | "interest-await" => true,
                "interest-noawait" => false,
                _ => return None,
            };
            Some((words.next()?.to_owned(), waits))
        })
        .collect()
}

/// Adds what `packages` wait for: paths to `File`, names to a file each.
pub fn add_interests(folder: &Path, packages: &[&Package]) -> Result<(), AssembleError> {
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for package in packages {
        let Some(control) = package.control_files.get("triggers") else { continue };
        for (trigger, waits) in interests(&control.bytes) {
            let suffix = if waits { "" } else { "/noawait" };
            let name = package.database_name();
            if trigger.starts_with('/') {
                lines.entry("File".to_owned()).or_default().push_str(&format!("{trigger} {name}{suffix}\n"));
            } else if !trigger.contains('/') {
                lines.entry(trigger).or_default().push_str(&format!("{name}{suffix}\n"));
            }
        }
    }
    for (file, text) in lines {
        let path = folder.join(file);
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, before + &text).at("writing", &path)?;
    }
    Ok(())
}

/// Notes which path triggers the unpacking of `paths` sets off, for dpkg to
/// take up when it next runs (`Unincorp`: a line a trigger, `-` for "nobody waits").
/// Packages that are not configured yet are none the wiser: dpkg leaves them out.
pub fn activate_paths<'a>(folder: &Path, paths: impl Iterator<Item = &'a [u8]>) -> Result<(), AssembleError> {
    let file = fs::read_to_string(folder.join("File")).unwrap_or_default();
    let watched: BTreeSet<&[u8]> = file.lines().filter_map(|line| Some(line.split_once(' ')?.0.as_bytes())).collect();
    let mut active: BTreeSet<&[u8]> = BTreeSet::new();
    for path in paths {
        let ends = (1..path.len()).filter(|&at| path[at] == b'/').chain([path.len()]);
        active.extend(ends.filter_map(|end| watched.get(&path[..end]).copied()));
    }
    let unincorporated = folder.join("Unincorp");
    let mut text = fs::read_to_string(&unincorporated).unwrap_or_default();
    for trigger in active {
        text.push_str(&format!("{} -\n", String::from_utf8_lossy(trigger)));
    }
    Ok(fs::write(&unincorporated, text).at("writing", &unincorporated)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_interests_and_leaves_activations() {
        let text = b"# comment\ninterest-noawait ldconfig\ninterest /usr/lib/x # why\nactivate ldconfig\n\n";
        assert_eq!(interests(text), [("ldconfig".to_owned(), false), ("/usr/lib/x".to_owned(), true)]);
    }

    #[test]
    fn activates_watched_folders() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("File"), "/usr/lib/x a/noawait\n/usr/lib/y b\n/usr/lib/z c\n").unwrap();
        let paths = [b"/usr/lib/x/deep/file".as_slice(), b"/usr/lib/xx", b"/usr/lib/y"];
        activate_paths(folder.path(), paths.into_iter()).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("Unincorp")).unwrap(), "/usr/lib/x -\n/usr/lib/y -\n");
    }
}
