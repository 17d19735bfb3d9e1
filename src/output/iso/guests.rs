//! Guest images on the medium of a host: equal files, a kernel that several have, are there once.

use crate::output::{Guest, OutputError};
use crate::tree::{Content, Metadata, Node, NodeId, Tree, TreePath};
use crate::util::file_error::FileError;
use crate::util::sha256;
use appliance_contract::Sha256;
use appliance_contract::guest_image::{INITRAMFS, KERNEL, MANIFEST, ROOT};
use appliance_contract::manifest::EmbeddedGuest;
use appliance_contract::medium;
use std::collections::BTreeMap;
use std::fs;

/// Puts the guests' files into the medium's tree; returns what its manifest says of them.
pub(super) fn put(tree: &mut Tree, guests: &[Guest<'_>], mtime: i64) -> Result<Vec<EmbeddedGuest>, OutputError> {
    let mut there: BTreeMap<Sha256, NodeId> = BTreeMap::new();
    let mut list = Vec::new();
    for guest in guests {
        let path = format!("{}/{}", medium::GUESTS, guest.manifest.name);
        let mut manifest_sha256 = Sha256::default();
        for name in [ROOT, KERNEL, INITRAMFS, MANIFEST] {
            let file = guest.directory.join(name);
            let failed = |source| OutputError::from(FileError::new("reading", file.clone(), source));
            let hash = fs::File::open(&file).and_then(sha256::of_reader).map_err(failed)?.0;
            let length = fs::metadata(&file).map_err(failed)?.len();
            let place = TreePath::parse(format!("{path}/{name}"))?;
            if name == MANIFEST {
                manifest_sha256 = hash;
            } else {
                check(guest, name, hash)?;
            }
            match there.get(&hash) {
                Some(&id) => tree.link(&place, id)?,
                None => {
                    let metadata = Metadata::new(0o644).with_mtime(mtime);
                    let id = tree.insert(&place, Node::file(metadata, Content::host(file, length)))?;
                    there.insert(hash, id);
                }
            }
        }
        list.push(EmbeddedGuest {
            name: guest.manifest.name.clone(),
            version: guest.manifest.version.clone(),
            path,
            manifest_sha256,
        });
    }
    Ok(list)
}

/// What goes onto the medium is what the guest's manifest tells of.
fn check(guest: &Guest<'_>, name: &str, found: Sha256) -> Result<(), OutputError> {
    let expected = guest.manifest.files.iter().find(|file| file.path == name).map(|file| file.sha256);
    if expected == Some(found) {
        return Ok(());
    }
    let expected = expected.map_or("no such file".to_owned(), |sha256| sha256.to_string());
    Err(OutputError::GuestFile { path: guest.directory.join(name), found, expected })
}
