//! Guest images on a host's medium. Equal files, such as a kernel of several images, are stored once.

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

/// Adds the guests' files to the medium's tree. Returns their entries for its manifest.
pub(super) fn add(tree: &mut Tree, guests: &[Guest<'_>], mtime: i64) -> Result<Vec<EmbeddedGuest>, OutputError> {
    let mut by_hash: BTreeMap<Sha256, NodeId> = BTreeMap::new();
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
            match by_hash.get(&hash) {
                Some(&id) => tree.link(&place, id)?,
                None => {
                    let metadata = Metadata::new(0o644).with_mtime(mtime);
                    let id = tree.insert(&place, Node::file(metadata, Content::host(file, length)))?;
                    by_hash.insert(hash, id);
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

/// Checks a file against the guest's manifest.
fn check(guest: &Guest<'_>, name: &str, found: Sha256) -> Result<(), OutputError> {
    let expected = guest.manifest.files.iter().find(|file| file.path == name).map(|file| file.sha256);
    if expected == Some(found) {
        return Ok(());
    }
    let expected = expected.map_or("no such file".to_owned(), |sha256| sha256.to_string());
    Err(OutputError::GuestFile { path: guest.directory.join(name), found, expected })
}
