//! A config tree in the form that FAT can hold: links move into the marker,
//! modes into `local/modes`, and what has no place is left out with a warning.

use super::FleetError;
use crate::tree::{Kind, Metadata, Node, Tree, TreeError, TreePath};
use crate::util::file_error::At as _;
use appliance_contract::marker::{self, Marker};
use appliance_contract::modes;
use std::collections::BTreeSet;

#[derive(Debug)]
pub struct Held {
    pub tree: Tree,
    pub warnings: Vec<String>,
}

/// Characters that no FAT long name holds (Microsoft's FAT specification, "Long directory entries").
const FORBIDDEN: &[u8] = b"\\:*?\"<>|";

pub fn convert(tree: &Tree) -> Result<Held, FleetError> {
    let marker_path = path(marker::FILE_NAME)?;
    let modes_path = path(&format!("local/{}", modes::FILE_NAME))?;
    let mut held = Held { tree: Tree::new(Metadata::new(0o755)), warnings: Vec::new() };
    let mut links = Vec::new();
    let mut mode_lines = String::new();
    let mut names = BTreeSet::new();
    for (place, id) in tree.walk().filter(|(place, _)| !place.is_root()) {
        let node = tree.node(id);
        let mut left_out = |why: &str| held.warnings.push(format!("{place} is left out: FAT {why}"));
        let text = place.to_string();
        let local = text.strip_prefix("/local/");
        if let Kind::Symlink(target) = &node.kind {
            match (local.filter(|path| path.starts_with("etc/")), std::str::from_utf8(target)) {
                (Some(path), Ok(target)) => links.push((format!("/{path}"), target.to_owned())),
                _ => left_out("holds no links, and only those below local/etc can move into the marker"),
            }
            continue;
        }
        let name = place.name().unwrap_or_default();
        let bad_end = name.ends_with(b".") || name.ends_with(b" ");
        if bad_end || name.iter().any(|byte| FORBIDDEN.contains(byte) || *byte < 0x20) {
            left_out("has no such character in a name");
            continue;
        }
        if !names.insert(text.to_lowercase()) {
            left_out("does not tell it from a name that differs in case alone");
            continue;
        }
        match &node.kind {
            Kind::Directory(_) => {
                // Made with its first file; an empty one is made here.
                held.tree.insert(&place, Node::directory(node.metadata.clone()))?;
            }
            Kind::File(_) => {
                if let (Some(path), true) = (local, node.metadata.mode != 0o644) {
                    mode_lines += &format!("{path} root:root {:04o}\n", node.metadata.mode);
                }
                held.tree.insert(&place, node.clone())?;
            }
            _ => left_out("holds no devices, pipes or sockets"),
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

/// Puts our lines before the tree's own, whose later ones win.
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
    for (link, target) in links {
        // What the marker says itself wins.
        marker.links.entry(link).or_insert(target);
    }
    let text = toml::to_string(&marker).map_err(|source| FleetError::MarkerText { source })?;
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
    fn what_has_no_place_is_named() {
        let held = convert(&sample()).unwrap();
        assert_eq!(held.warnings.len(), 3, "{:?}", held.warnings);
        for (path, why) in
            [("/global/link", "no links"), ("/local/etc/issue", "case alone"), ("dev-x:y.swap", "character")]
        {
            let said = held.warnings.iter().any(|warning| warning.contains(path) && warning.contains(why));
            assert!(said, "{path}: {:?}", held.warnings);
        }
        assert_eq!(text(&held.tree, "local/etc/Issue").as_deref(), Some("upper"));
    }
}
