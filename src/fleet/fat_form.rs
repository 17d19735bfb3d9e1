//! Converts a config tree to one that FAT can store: symlinks move into the marker, modes into `local/modes`. Entries
//! that cannot be converted are omitted with a warning.

use super::FleetError;
use crate::tree::{Kind, Metadata, Node, Tree, TreeError, TreePath};
use crate::util::file_error::At as _;
use appliance_contract::marker::{self, Marker};
use appliance_contract::modes::{self, Modes};
use std::collections::BTreeSet;

#[derive(Debug)]
pub struct FatTree {
    pub tree: Tree,
    pub warnings: Vec<String>,
}

/// Characters that a FAT long name cannot contain (Microsoft's FAT specification, "Long directory entries").
const FORBIDDEN: &[u8] = b"\\:*?\"<>|";

pub fn convert(tree: &Tree) -> Result<FatTree, FleetError> {
    let marker_path = path(marker::FILE_NAME)?;
    let modes_path = path(&format!("local/{}", modes::FILE_NAME))?;
    let mut held = FatTree { tree: Tree::new(Metadata::new(0o755)), warnings: Vec::new() };
    let mut links = Vec::new();
    let mut mode_lines = String::new();
    let mut names = BTreeSet::new();
    // Directories that are omitted, each with a slash at its end.
    let mut omitted = Vec::new();
    for (place, id) in tree.walk().filter(|(place, _)| !place.is_root()) {
        let node = tree.node(id);
        let mut omit = |why: &str| held.warnings.push(format!("{place} is omitted: FAT {why}"));
        let text = place.to_string();
        let local = text.strip_prefix("/local/");
        if let Kind::Symlink(target) = &node.kind {
            match (local.filter(|path| path.starts_with("etc/")), std::str::from_utf8(target)) {
                (Some(path), Ok(target)) => links.push((format!("/{path}"), target.to_owned())),
                _ => omit("has no symlinks, and only those below local/etc can move into the marker"),
            }
            continue;
        }
        if omitted.iter().any(|directory: &String| text.starts_with(directory)) {
            omit("does not allow a character in the name of its directory");
            continue;
        }
        let name = place.name().unwrap_or_default();
        let bad_end = name.ends_with(b".") || name.ends_with(b" ");
        if bad_end || name.iter().any(|byte| FORBIDDEN.contains(byte) || *byte < 0x20) {
            omit("does not allow a character of its name");
            omitted.push(format!("{text}/"));
            continue;
        }
        if !names.insert(text.to_lowercase()) {
            omit("does not distinguish it from a name that differs only in case");
            omitted.push(format!("{text}/"));
            continue;
        }
        match &node.kind {
            Kind::Directory(_) => {
                // A directory is created with its first entry; an empty one is created here.
                held.tree.insert(&place, Node::directory(node.metadata.clone()))?;
            }
            Kind::File(_) => {
                if let (Some(path), true) = (local, node.metadata.mode != 0o644) {
                    mode_lines += &mode_line(path, node.metadata.mode)?;
                }
                held.tree.insert(&place, node.clone())?;
            }
            _ => omit("has no devices, pipes or sockets"),
        }
    }
    if !mode_lines.is_empty() {
        add_modes(tree, &mut held.tree, &modes_path, &mode_lines)?;
    }
    if !links.is_empty() {
        add_links(&mut held.tree, &marker_path, links)?;
    }
    Ok(held)
}

/// The line of `local/modes` for a file, as the agent reads it back.
fn mode_line(path: &str, mode: u16) -> Result<String, FleetError> {
    let line = format!("{path} root:root {mode:04o}\n");
    let read = Modes::parse(&line).ok();
    let is_exact = read.is_some_and(|modes| matches!(modes.entries(), [entry] if entry.path() == path));
    if is_exact { Ok(line) } else { Err(FleetError::FatMode { path: path.to_owned(), mode: mode.into() }) }
}

/// Inserts the lines before the tree's own, because later lines have precedence.
fn add_modes(from: &Tree, to: &mut Tree, at: &TreePath, lines: &str) -> Result<(), FleetError> {
    let own = match from.get(at).map(|node| &node.kind) {
        Some(Kind::File(content)) => content.read().at("reading", at.to_string())?,
        _ => Vec::new(),
    };
    let text = [b"# Modes that FAT cannot hold, from the fleet's own.\n", lines.as_bytes(), &own].concat();
    to.insert(at, Node::file(Metadata::new(0o644), text.into()))?;
    Ok(())
}

fn add_links(to: &mut Tree, at: &TreePath, links: Vec<(String, String)>) -> Result<(), FleetError> {
    let Some(Kind::File(content)) = to.get(at).map(|node| &node.kind) else { return Ok(()) };
    let bytes = content.read().at("reading", at.to_string())?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let place = std::path::PathBuf::from(at.to_string());
    let failed = |source| FleetError::Marker { path: place.clone(), source: Box::new(source) };
    let mut marker = Marker::parse(&text).map_err(failed)?;
    let count = links.len();
    for (link, target) in links {
        // The marker's own links have precedence.
        marker.links.entry(link).or_insert(target);
    }
    let text = toml::to_string(&marker).map_err(|source| FleetError::MarkerText { source })?;
    if text.len() as u64 > marker::MAX_SIZE {
        return Err(FleetError::FatLinks { links: count, found: text.len() as u64, expected: marker::MAX_SIZE });
    }
    to.insert(at, Node::file(Metadata::new(0o644), text.into_bytes().into()))?;
    Ok(())
}

fn path(text: &str) -> Result<TreePath, FleetError> {
    Ok(TreePath::parse(text).map_err(TreeError::from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Tree {
        let mut tree = Tree::new(Metadata::new(0o755));
        let file = |mode, text: &str| Node::file(Metadata::new(mode), text.into());
        for (at, node) in [
            ("appliance.toml", file(0o644, "schema = 1\nrole = \"host\"\nnode = \"a\"\n")),
            ("local/etc/ssh/ssh_host_ed25519_key", file(0o600, "key")),
            ("local/etc/localtime", Node::symlink("/usr/share/zoneinfo/UTC", 0)),
            ("local/etc/Issue", file(0o644, "upper")),
            ("local/etc/issue", file(0o644, "lower")),
            ("local/etc/dev-x:y.swap", file(0o644, "colon")),
            ("global/link", Node::symlink("x", 0)),
            ("local/modes", file(0o644, "etc/issue root 0600\n")),
        ] {
            tree.insert(&path(at).unwrap(), node).unwrap();
        }
        tree
    }

    fn text(tree: &Tree, at: &str) -> Option<String> {
        let Kind::File(content) = &tree.get(&path(at).unwrap())?.kind else { return None };
        Some(String::from_utf8(content.read().unwrap()).unwrap())
    }

    #[test]
    fn links_and_modes_move_into_files_that_fat_holds() {
        let held = convert(&sample()).unwrap();
        let marker = Marker::parse(&text(&held.tree, "appliance.toml").unwrap()).unwrap();
        assert_eq!(marker.links.get("/etc/localtime").map(String::as_str), Some("/usr/share/zoneinfo/UTC"));
        let modes = text(&held.tree, "local/modes").unwrap();
        assert!(modes.contains("etc/ssh/ssh_host_ed25519_key root:root 0600\n"), "{modes}");
        assert!(modes.ends_with("etc/issue root 0600\n"), "{modes}");
    }

    #[test]
    fn what_the_agent_would_not_read_back_is_refused() {
        let mut tree = sample();
        for number in 0..800 {
            let name = format!("local/etc/alternatives/some-long-manual-page-name-{number}.1.gz");
            tree.insert(&path(&name).unwrap(), Node::symlink("/usr/share/man/man1/some-long-name.1.gz", 0)).unwrap();
        }
        let error = convert(&tree).unwrap_err().to_string();
        assert!(error.contains("the config's 801 has") && error.contains("at most 65536"), "{error}");
        assert!(error.contains("--format ext4"), "{error}");
        for name in ["my job", "#local.sh", "a\u{a0}b", "tab\u{2003}"] {
            let mut tree = sample();
            let at = path(&format!("local/etc/cron.daily/{name}")).unwrap();
            tree.insert(&at, Node::file(Metadata::new(0o644), "x".into())).unwrap();
            convert(&tree).unwrap();
            let id = tree.lookup(&at).unwrap();
            tree.node_mut(id).metadata.mode = 0o755;
            let error = convert(&tree).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("--format ext4"), "{error}");
        }
    }

    #[test]
    fn what_is_below_an_omitted_directory_is_omitted_too() {
        let mut tree = sample();
        for name in ["local/etc/c:d/x", "local/etc/c:d/y/z", "local/etc/c-d"] {
            tree.insert(&path(name).unwrap(), Node::file(Metadata::new(0o644), "x".into())).unwrap();
        }
        let held = convert(&tree).unwrap();
        assert!(text(&held.tree, "local/etc/c-d").is_some());
        for omitted in ["/local/etc/c:d is", "/local/etc/c:d/x is", "/local/etc/c:d/y/z is"] {
            assert!(held.warnings.iter().any(|warning| warning.starts_with(omitted)), "{omitted}: {:?}", held.warnings);
        }
    }

    #[test]
    fn what_has_no_place_is_named() {
        let held = convert(&sample()).unwrap();
        assert_eq!(held.warnings.len(), 3, "{:?}", held.warnings);
        for (path, why) in
            [("/global/link", "no symlinks"), ("/local/etc/issue", "only in case"), ("dev-x:y.swap", "character")]
        {
            let said = held.warnings.iter().any(|warning| warning.contains(path) && warning.contains(why));
            assert!(said, "{path}: {:?}", held.warnings);
        }
        assert_eq!(text(&held.tree, "local/etc/Issue").as_deref(), Some("upper"));
    }
}
