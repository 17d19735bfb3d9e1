//! Small changes to a tree, by paths that this crate itself names.

use crate::rootfs::error::AssembleError;
use crate::tree::{Kind, Metadata, Node, NodeId, Tree, TreeError, TreePath};
use crate::util::chroot_path;
use crate::util::file_error::At as _;

/// A path that stands in this crate's source or was checked before.
pub fn path(text: &str) -> Result<TreePath, AssembleError> {
    Ok(TreePath::parse(text).map_err(TreeError::from)?)
}

/// `path` with all symlinks followed but that of its last name; `None` where a folder is missing.
pub fn resolve(tree: &Tree, path: &TreePath) -> Option<TreePath> {
    let (Some(parent), Some(name)) = (path.parent(), path.name()) else { return Some(path.clone()) };
    let directory = chroot_path::resolve(parent.names(), |at: &TreePath| match &tree.get(at).ok_or(())?.kind {
        Kind::Symlink(target) => Ok(Some(target.clone())),
        Kind::Directory(_) => Ok(None),
        _ => Err(()),
    });
    directory.ok()?.join(name).ok()
}

/// The node at `text`, its folders' symlinks followed.
pub fn find(tree: &Tree, text: &str) -> Option<NodeId> {
    tree.lookup(&resolve(tree, &TreePath::parse(text).ok()?)?)
}

/// The text of a regular file; `None` where there is none.
pub fn read_text(tree: &Tree, text: &str) -> Result<Option<String>, AssembleError> {
    let Some(id) = find(tree, text) else { return Ok(None) };
    let Kind::File(content) = &tree.node(id).kind else { return Ok(None) };
    let bytes = content.read().at("reading", text)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Changes a file's bytes, and nothing else of it.
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

/// Makes a folder where there is nothing.
pub fn ensure_folder(tree: &mut Tree, text: &str, mode: u16, time: i64) -> Result<(), AssembleError> {
    if find(tree, text).is_some() {
        return Ok(());
    }
    put(tree, text, Node::directory(Metadata::new(mode).with_mtime(time)))
}

/// Removes what is at `text`, where there is anything.
pub fn remove(tree: &mut Tree, text: &str) {
    let Some(real) = TreePath::parse(text).ok().and_then(|path| resolve(tree, &path)) else { return };
    // Nothing there is what is wanted.
    let _ = tree.remove(&real);
}

/// The names in a folder; none where there is no folder.
pub fn names(tree: &Tree, text: &str) -> Vec<String> {
    match find(tree, text).map(|id| &tree.node(id).kind) {
        Some(Kind::Directory(entries)) => {
            entries.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
        }
        _ => Vec::new(),
    }
}

/// Removes all that is in a folder.
pub fn empty(tree: &mut Tree, text: &str) {
    if let Some(id) = find(tree, text)
        && let Kind::Directory(entries) = &mut tree.node_mut(id).kind
    {
        entries.clear();
    }
}

/// Moves what is at `from`, with all below it, to `to`;.
pub fn rename(tree: &mut Tree, from: &str, to: &str) -> Result<(), AssembleError> {
    let source = resolve(tree, &path(from)?).unwrap_or_default();
    // A folder's node carries its entries; what they name stays where it is.
    let node = tree.get(&source).cloned().ok_or(TreeError::NotFound { path: source.clone() })?;
    tree.remove(&source)?;
    tree.insert(&path(to)?, node)?;
    Ok(())
}
