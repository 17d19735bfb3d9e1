//! Ids of users and groups, the same in every image of a lock.
//!
//! Scripts give ids in the order in which they happen to run, each by its own
//! tool. None of them is told what to give: once all have run, every id that
//! the lock knows is made what the lock says, in `/etc` and on every file.

use crate::packages::lock::{Ids, is_dynamic};
use crate::rootfs::error::AssembleError;
use crate::util::file_error::{At as _, FileError};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

const PASSWD: &str = "etc/passwd";
const GROUP: &str = "etc/group";
/// Where adduser and systemd-sysusers begin to look for a free one.
const HIGHEST: u32 = 999;
const LOWEST: u32 = 100;
const CAPABILITY: &str = "security.capability";

/// Old ids to new ones, where they differ.
type Moves = BTreeMap<u32, u32>;

/// Gives the users and groups in `root` the ids of `kept`, and those that it
/// does not know ids that neither it nor `others` has for another name. Returns
/// `kept` with what was found beside it.
pub fn settle(root: &Path, kept: &Ids, others: &Ids) -> Result<Ids, AssembleError> {
    let (passwd, group) = (read(root, PASSWD)?, read(root, GROUP)?);
    let mut settled = kept.clone();
    let users = plan("user", PASSWD, &passwd, &mut settled.users, &others.users)?;
    let groups = plan("group", GROUP, &group, &mut settled.groups, &others.groups)?;
    if users.is_empty() && groups.is_empty() {
        return Ok(settled);
    }
    rewrite(root, PASSWD, &passwd, &[(2, &users), (3, &groups)])?;
    rewrite(root, GROUP, &group, &[(2, &groups)])?;
    renumber(root, &users, &groups, &mut HashSet::new())?;
    Ok(settled)
}

fn read(root: &Path, file: &str) -> Result<String, AssembleError> {
    let path = root.join(file);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(FileError::new("reading", path, error).into()),
    }
}

/// Which ids of the file change, and into what; `settled` gets the names that it lacks.
fn plan(
    kind: &'static str,
    file: &'static str,
    text: &str,
    settled: &mut BTreeMap<String, u32>,
    others: &BTreeMap<String, u32>,
) -> Result<Moves, AssembleError> {
    let mut found = BTreeMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let mut fields = line.split(':');
        let (Some(name), Some(id)) = (fields.next(), fields.nth(1).and_then(|id| id.parse::<u32>().ok())) else {
            let expected = "a name, and an id in the third field";
            return Err(AssembleError::Accounts { file, line: index + 1, found: line.to_owned(), expected });
        };
        found.entry(name.to_owned()).or_insert(id);
    }
    let present: BTreeSet<u32> = found.values().copied().collect();
    let mut targets: BTreeMap<u32, (u32, &String)> = BTreeMap::new();
    // What the lock knows comes first, so that nothing new takes its place.
    let (known, new): (Vec<_>, Vec<_>) = found.iter().partition(|(name, _)| settled.contains_key(*name));
    for (name, id) in known.into_iter().chain(new) {
        let taken = |id: &u32| {
            settled.values().any(|taken| taken == id)
                || others.iter().any(|(other, taken)| taken == id && other != name)
        };
        let target = match settled.get(name) {
            Some(target) => *target,
            None => match others.get(name).copied().filter(|id| !taken(id)) {
                _ if !is_dynamic(*id) => *id,
                Some(target) => target,
                None if !taken(id) => *id,
                None => (LOWEST..=HIGHEST)
                    .rev()
                    .find(|id| !taken(id) && !present.contains(id))
                    .ok_or_else(|| AssembleError::NoId { kind, name: name.clone() })?,
            },
        };
        if let Some((first, other)) = targets.insert(*id, (target, name)).filter(|(first, _)| *first != target) {
            let (name, other) = (name.clone(), other.clone());
            return Err(AssembleError::SharedId { kind, name, other, id: *id, targets: [target, first] });
        }
        if is_dynamic(target) {
            settled.insert(name.clone(), target);
        }
    }
    let mut names: BTreeMap<u32, (u32, &String)> = BTreeMap::new();
    for (id, (target, name)) in &targets {
        if let Some((_, other)) = names.insert(*target, (*id, name)) {
            return Err(AssembleError::TakenId { kind, name: (*name).clone(), other: other.clone(), id: *target });
        }
    }
    Ok(targets.into_iter().map(|(id, (target, _))| (id, target)).filter(|(id, target)| id != target).collect())
}

/// Changes ids in fields of each line; the file keeps its mode.
fn rewrite(root: &Path, file: &str, text: &str, fields: &[(usize, &Moves)]) -> Result<(), AssembleError> {
    let mut changed = String::with_capacity(text.len());
    for line in text.lines() {
        let mut parts: Vec<String> = line.split(':').map(str::to_owned).collect();
        for (index, moves) in fields {
            if let Some(part) = parts.get_mut(*index)
                && let Some(id) = part.parse().ok().and_then(|id: u32| moves.get(&id))
            {
                *part = id.to_string();
            }
        }
        changed.push_str(&parts.join(":"));
        changed.push('\n');
    }
    let path = root.join(file);
    if changed == text {
        return Ok(());
    }
    Ok(fs::write(&path, changed).at("writing", path)?)
}

/// Gives every file its new owner. `seen` holds the files with several names that are done.
fn renumber(path: &Path, users: &Moves, groups: &Moves, seen: &mut HashSet<(u64, u64)>) -> Result<(), AssembleError> {
    let stat = fs::symlink_metadata(path).at("reading", path)?;
    let first = stat.is_dir() || stat.nlink() == 1 || seen.insert((stat.dev(), stat.ino()));
    let (user, group) = (users.get(&stat.uid()).copied(), groups.get(&stat.gid()).copied());
    if first && (user.is_some() || group.is_some()) {
        give(path, &stat, user, group).at("giving to its owner", path)?;
    }
    if stat.is_dir() {
        for entry in fs::read_dir(path).at("listing", path)? {
            renumber(&entry.at("listing", path)?.path(), users, groups, seen)?;
        }
    }
    Ok(())
}

fn give(path: &Path, stat: &Metadata, user: Option<u32>, group: Option<u32>) -> std::io::Result<()> {
    // A new owner takes set-id bits and capabilities away (chown(2)).
    let capability = if stat.is_file() { xattr::get(path, CAPABILITY)? } else { None };
    lchown(path, user, group)?;
    if !stat.is_symlink() {
        fs::set_permissions(path, Permissions::from_mode(stat.mode() & 0o7777))?;
    }
    capability.map_or(Ok(()), |value| xattr::set(path, CAPABILITY, &value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, u32)]) -> BTreeMap<String, u32> {
        entries.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect()
    }

    fn planned(
        text: &str,
        kept: &[(&str, u32)],
        others: &[(&str, u32)],
    ) -> Result<(Moves, BTreeMap<String, u32>), AssembleError> {
        let mut settled = map(kept);
        let moves = plan("user", PASSWD, text, &mut settled, &map(others))?;
        Ok((moves, settled))
    }

    const TWO: &str = "root:x:0:0::/:\nb:x:100:65534::/:\na:x:101:65534::/:\nnobody:x:65534:65534::/:\n";

    #[test]
    fn a_first_build_finds_what_scripts_gave() {
        assert_eq!(planned(TWO, &[], &[]).unwrap(), (Moves::new(), map(&[("a", 101), ("b", 100)])));
    }

    #[test]
    fn a_later_build_gives_what_the_lock_says() {
        let (moves, settled) = planned(TWO, &[("a", 100), ("gone", 102)], &[]).unwrap();
        // What a had is free, but b was not known and finds its own taken.
        assert_eq!(moves, Moves::from([(100, 999), (101, 100)]));
        assert_eq!(settled, map(&[("a", 100), ("b", 999), ("gone", 102)]));
        // And for ever.
        let names = "a:x:999:1::/:\nb:x:998:1::/:\n";
        assert_eq!(
            planned(names, &[("a", 100), ("b", 999), ("gone", 102)], &[]).unwrap().0,
            Moves::from([(999, 100), (998, 999)])
        );
    }

    #[test]
    fn other_locks_of_the_fleet_are_heeded() {
        let (moves, settled) = planned(TWO, &[], &[("a", 555), ("other", 100)]).unwrap();
        assert_eq!(moves, Moves::from([(100, 999), (101, 555)]));
        assert_eq!(settled, map(&[("a", 555), ("b", 999)]));
        // The own lock counts for more.
        assert_eq!(planned(TWO, &[("a", 101), ("b", 100)], &[("a", 555), ("other", 100)]).unwrap().0, Moves::new());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(matches!(planned("a:x\n", &[], &[]), Err(AssembleError::Accounts { line: 1, .. })));
        // Two names for one id, which the lock would part.
        let shared = "a:x:100:1::/:\nb:x:100:1::/:\n";
        assert!(matches!(planned(shared, &[("a", 101)], &[]), Err(AssembleError::SharedId { .. })));
        // A new name that must not move has what the lock gives to another.
        let fixed = "a:x:200:1::/:\nb:x:60000:1::/:\n";
        assert!(matches!(planned(fixed, &[("a", 60_000)], &[]), Err(AssembleError::TakenId { id: 60_000, .. })));
    }

    proptest::proptest! {
        #[test]
        fn ids_are_apart_and_stay(
            found in proptest::collection::btree_map("[a-e]", 100u32..110, 0..5),
            kept in proptest::collection::btree_map("[a-e]", 100u32..110, 0..5),
        ) {
            let apart = |ids: &BTreeMap<String, u32>| ids.values().collect::<BTreeSet<_>>().len() == ids.len();
            proptest::prop_assume!(apart(&found) && apart(&kept));
            let text: String = found.iter().map(|(name, id)| format!("{name}:x:{id}:0::/:\n")).collect();
            let mut settled = kept.clone();
            let moves = plan("user", PASSWD, &text, &mut settled, &BTreeMap::new()).unwrap();
            proptest::prop_assert!(apart(&settled));
            for (name, id) in &kept {
                proptest::prop_assert_eq!(settled.get(name), Some(id));
            }
            for (name, id) in &found {
                proptest::prop_assert_eq!(settled[name], moves.get(id).copied().unwrap_or(*id));
            }
        }
    }
}
