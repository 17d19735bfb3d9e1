//! The xattr table: sets of extended attributes, each set once.

use super::SquashfsError;
use super::compressor::{Compressor, Purpose};
use super::metadata::MetadataWriter;
use super::{Compression, table};
use crate::tree::TreePath;
use std::collections::{BTreeMap, HashMap};

/// The namespaces, in the order of their numbers (`SQUASHFS_XATTR_USER` …).
const NAMESPACES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];

/// Linux's `XATTR_NAME_MAX` and `XATTR_SIZE_MAX`.
const LONGEST_NAME: usize = 255;
const LARGEST_VALUE: usize = 65536;

#[derive(Debug)]
pub(super) struct Xattrs {
    compression: Compression,
    sets: MetadataWriter,
    ids: Vec<[u8; 16]>,
    known: HashMap<Vec<u8>, u32>,
}

impl Xattrs {
    pub fn new(compression: Compression) -> Result<Self, SquashfsError> {
        Ok(Self {
            compression,
            sets: MetadataWriter::new(Compressor::new(compression, Purpose::Metadata)?),
            ids: Vec::new(),
            known: HashMap::new(),
        })
    }

    /// The index of `attributes` in the id table; adds the set if it is new. `None` for an empty set.
    pub fn index_of(
        &mut self,
        path: &TreePath,
        attributes: &BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> Result<Option<u32>, SquashfsError> {
        if attributes.is_empty() {
            return Ok(None);
        }
        let mut set = Vec::new();
        for (name, value) in attributes {
            encode(path, name, value, &mut set)?;
        }
        if let Some(&index) = self.known.get(&set) {
            return Ok(Some(index));
        }
        let reference = self.sets.position().reference();
        self.sets.write(&set)?;
        // A tree holds fewer nodes than 2^32 - 1, a set fewer attributes, and Linux bounds their size.
        let (index, count, size) = (self.ids.len() as u32, attributes.len() as u32, set.len() as u32);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&reference.to_le_bytes());
        id[8..12].copy_from_slice(&count.to_le_bytes());
        id[12..].copy_from_slice(&size.to_le_bytes());
        self.ids.push(id);
        self.known.insert(set, index);
        Ok(Some(index))
    }

    /// Encodes the table at offset `position`. Returns its bytes and the offset of its header; `None` if no file has
    /// attributes.
    pub fn finish(self, position: u64) -> Result<Option<(Vec<u8>, u64)>, SquashfsError> {
        if self.ids.is_empty() {
            return Ok(None);
        }
        let count = self.ids.len() as u32;
        let (mut bytes, _) = self.sets.finish()?;
        let after_sets = position + bytes.len() as u64;
        let compressor = Compressor::new(self.compression, Purpose::Metadata)?;
        let (ids, list) = table::encode(&self.ids, after_sets, compressor)?;
        // Unlike other tables' lists, this one has a header: `struct squashfs_xattr_id_table`.
        let (blocks, starts) = ids.split_at((list - after_sets) as usize);
        bytes.extend_from_slice(blocks);
        bytes.extend(position.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend_from_slice(starts);
        Ok(Some((bytes, list)))
    }
}

fn encode(path: &TreePath, full: &[u8], value: &[u8], out: &mut Vec<u8>) -> Result<(), SquashfsError> {
    let attribute = || String::from_utf8_lossy(full).into_owned();
    if full.starts_with(b"system.posix_acl_") {
        return Err(SquashfsError::Acl { path: path.clone(), attribute: attribute() });
    }
    let found = NAMESPACES
        .iter()
        .enumerate()
        .find_map(|(number, prefix)| full.strip_prefix(*prefix).map(|name| (number, name)))
        .filter(|(_, name)| !name.is_empty());
    let Some((number, name)) = found else {
        return Err(SquashfsError::AttributeNamespace { path: path.clone(), attribute: attribute() });
    };
    if full.len() > LONGEST_NAME || value.len() > LARGEST_VALUE {
        let (name, value) = (full.len(), value.len());
        return Err(SquashfsError::AttributeSize { path: path.clone(), attribute: attribute(), name, value });
    }
    out.extend((number as u16).to_le_bytes());
    out.extend((name.len() as u16).to_le_bytes());
    out.extend_from_slice(name);
    out.extend((value.len() as u32).to_le_bytes());
    out.extend_from_slice(value);
    Ok(())
}
