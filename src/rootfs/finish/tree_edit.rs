//! Small changes to a tree, at paths that are constants of this crate.

use crate::rootfs::error::AssembleError;
use crate::tree::{Kind, Metadata, Node, NodeId, Tree, TreeError, TreePath};
use crate::util::chroot_path;
use crate::util::file_error::At as _;

/// Parses a path that is a constant of this crate or was validated before.
pub fn path(text: &str) -> Result<TreePath, AssembleError> {
    Ok(TreePath::parse(text).map_err(TreeError::from)?)
}

/// `path` with the symlinks in its parent directories resolved; `None` if one of them is missing.
pub fn resolve(tree: &Tree, path: &TreePath) -> Option<TreePath> {
    let (Some(parent), Some(name)) = (path.parent(), path.name()) else { return Some(path.clone()) };
    let directory = chroot_path::resolve(parent.names(), |at: &TreePath| match &tree.get(at).ok_or(())?.kind {
        Kind::Symlink(target) => Ok(Some(target.clone())),
        Kind::Directory(_) => Ok(None),
        _ => Err(()),
    });
    directory.ok()?.join(name).ok()
}

/// The node at `text`, with the symlinks in its parent directories resolved.
pub fn find(tree: &Tree, text: &str) -> Option<NodeId> {
    tree.lookup(&resolve(tree, &TreePath::parse(text).ok()?)?)
}

/// The text of a regular file; `None` if there is none.
pub fn read_text(tree: &Tree, text: &str) -> Result<Option<String>, AssembleError> {
    let Some(id) = find(tree, text) else { return Ok(None) };
    let Kind::File(content) = &tree.node(id).kind else { return Ok(None) };
    let bytes = content.read().at("reading", text)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Changes a file's contents but not its metadata.
pub fn replace_text(tree: &mut Tree, text: &str, content: String) {
    if let Some(id) = find(tree, text) {
        tree.node_mut(id).kind = Kind::File(content.into());
    }
}

pub fn put_file(
    tree: &mut Tree,
    text: &str,
    content: impl Into<crate::tree::Content>,
    mode: u16,
    time: i64,
) -> Result<(), AssembleError> {
    put(tree, text, Node::file(Metadata::new(mode).with_mtime(time), content.into()))
}

pub fn put_symlink(tree: &mut Tree, text: &str, target: &str, time: i64) -> Result<(), AssembleError> {
    put(tree, text, Node::symlink(target, time))
}

fn put(tree: &mut Tree, text: &str, node: Node) -> Result<(), AssembleError> {
    let wanted = path(text)?;
    let real = resolve(tree, &wanted).unwrap_or(wanted);
    tree.insert(&real, node)?;
    Ok(())
}

/// Makes a directory if nothing exists at the path.
pub fn ensure_folder(tree: &mut Tree, text: &str, mode: u16, time: i64) -> Result<(), AssembleError> {
    if find(tree, text).is_some() {
        return Ok(());
    }
    put(tree, text, Node::directory(Metadata::new(mode).with_mtime(time)))
}

/// Removes the node at `text`, if it exists.
pub fn remove(tree: &mut Tree, text: &str) {
    let Some(real) = TreePath::parse(text).ok().and_then(|path| resolve(tree, &path)) else { return };
    // If it does not exist, nothing is left to do.
    let _ = tree.remove(&real);
}

/// The names in a directory; none if it does not exist.
pub fn names(tree: &Tree, text: &str) -> Vec<String> {
    match find(tree, text).map(|id| &tree.node(id).kind) {
        Some(Kind::Directory(entries)) => {
            entries.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
        }
        _ => Vec::new(),
    }
}

/// Removes all entries of a directory.
pub fn empty(tree: &mut Tree, text: &str) {
    if let Some(id) = find(tree, text)
        && let Kind::Directory(entries) = &mut tree.node_mut(id).kind
    {
        entries.clear();
    }
}

/// Moves the subtree at `from` to `to`.
pub fn rename(tree: &mut Tree, from: &str, to: &str) -> Result<(), AssembleError> {
    let source = resolve(tree, &path(from)?).unwrap_or_default();
    // Moving a directory's node moves its entries; the nodes that they refer to are unchanged.
    let node = tree.get(&source).cloned().ok_or(TreeError::NotFound { path: source.clone() })?;
    tree.remove(&source)?;
    tree.insert(&path(to)?, node)?;
    Ok(())
}
