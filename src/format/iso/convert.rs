//! From our tree to the one that hadris-iso writes, and what that one cannot hold.

use super::{IsoError, time};
use crate::tree::{Content, Kind, Metadata, NodeId, Tree, TreePath};
use hadris_fs::{DeviceNumber, FileType, Node, Owner, Permissions, SetAttr, Warning};
use std::collections::HashMap;

pub(super) fn convert(tree: &Tree) -> Result<hadris_fs::Tree, IsoError> {
    let mut out = hadris_fs::Tree::new();
    let mut first_names = HashMap::<NodeId, Vec<u8>>::new();
    for (path, id) in tree.walk() {
        let failed = |source| IsoError::Volume { source };
        let bytes = path.to_bytes();
        let source = tree.node(id);
        if let Some(name) = source.metadata.xattrs.keys().next() {
            return Err(IsoError::Unsupported {
                path: path.to_string(),
                problem: format!("it has the extended attribute {}", String::from_utf8_lossy(name)),
            });
        }
        let node = node(&path, &source.kind)?.with_attrs(attributes(&source.metadata)?);
        if path.is_root() {
            out.replace("/", node).map_err(failed)?;
        } else if let Some(first) = first_names.get(&id) {
            out.link(first, &bytes).map_err(failed)?;
        } else {
            out.insert(&bytes, node).map_err(failed)?;
            first_names.insert(id, bytes);
        }
    }
    Ok(out)
}

fn node(path: &TreePath, kind: &Kind) -> Result<Node, IsoError> {
    Ok(match kind {
        Kind::Directory(_) => Node::dir(),
        Kind::File(content) => Node::file(file_content(path, content)?),
        Kind::Symlink(target) => Node::symlink(target),
        Kind::CharacterDevice { major, minor } => {
            Node::special(FileType::CharDevice, Some(DeviceNumber::new(*major, *minor)))
        }
        Kind::BlockDevice { major, minor } => {
            Node::special(FileType::BlockDevice, Some(DeviceNumber::new(*major, *minor)))
        }
        Kind::Fifo => Node::special(FileType::Fifo, None),
        Kind::Socket => Node::special(FileType::Socket, None),
    })
}

/// hadris-iso reads whole host files as it writes; a part of one has to be held.
fn file_content(path: &TreePath, content: &Content) -> Result<hadris_fs::Content, IsoError> {
    if let Content::Host { path: host, offset: 0, length, .. } = content {
        let whole = hadris_fs::host::file(host.as_path()).map_err(|source| IsoError::Volume { source })?;
        if whole.len() == *length {
            return Ok(whole);
        }
    }
    let bytes = content.read().map_err(|source| IsoError::Content { path: path.clone(), source })?;
    Ok(hadris_fs::Content::bytes(bytes))
}

fn attributes(metadata: &Metadata) -> Result<SetAttr, IsoError> {
    Ok(SetAttr::new()
        .with_permissions(Permissions::new(metadata.mode.into()))
        .with_owner(Owner::new(metadata.uid, metadata.gid))
        // Neither access nor creation time: they would come from the clock.
        .with_modified(time(metadata.mtime)?))
}

/// What the writer would leave out without failing is an error here, but for
/// names of the systems that know neither Rock Ridge nor long names.
pub(super) fn refuse_loss(warning: &Warning) -> Result<(), IsoError> {
    use hadris_fs::WarningKind::{Deduplicated, Dropped, Relocated, Renamed, Truncated};
    match warning.kind() {
        Renamed | Truncated | Deduplicated | Relocated | Dropped(_) => Ok(()),
        // Joliet has no symlinks and devices; Rock Ridge, which Linux prefers, has.
        _ if warning.message().to_ascii_lowercase().contains("joliet") => Ok(()),
        _ => Err(IsoError::Unsupported {
            path: String::from_utf8_lossy(warning.path().unwrap_or(b"the volume")).into_owned(),
            problem: warning.message().to_owned(),
        }),
    }
}
