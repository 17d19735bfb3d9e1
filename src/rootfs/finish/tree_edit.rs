//! Small changes to a tree, by paths that this crate itself names.

use crate::rootfs::error::AssembleError;
use crate::tree::{Kind, Metadata, Node, NodeId, Tree, TreeError, TreePath};
use crate::util::file_error::At as _;
use std::collections::VecDeque;

/// A path that stands in this crate's source or was checked before.
pub fn path(text: &str) -> Result<TreePath, AssembleError> {
    Ok(TreePath::parse(text).map_err(TreeError::from)?)
}

/// `path` with all symlinks followed but that of its last name; `None` where a folder is missing.
pub fn resolve(tree: &Tree, path: &TreePath) -> Option<TreePath> {
    let mut left: VecDeque<Vec<u8>> = path.names().map(<[u8]>::to_vec).collect();
    let mut at = TreePath::default();
    let mut followed = 0;
    while let Some(name) = left.pop_front() {
        match name.as_slice() {
            b"" | b"." => continue,
            b".." => {
                at = at.parent().unwrap_or_default();
                continue;
            }
            _ => {}
        }
        let next = at.join(&name).ok()?;
        if left.is_empty() {
            return Some(next);
        }
        match &tree.get(&next)?.kind {
            Kind::Symlink(target) if followed < 40 => {
                followed += 1;
                if target.starts_with(b"/") {
                    at = TreePath::default();
                }
                for part in target.split(|&byte| byte == b'/').rev() {
                    left.push_front(part.to_vec());
                }
            }
            Kind::Directory(_) => at = next,
            _ => return None,
        }
    }
    Some(at)
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
