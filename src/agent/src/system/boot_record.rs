//! Reads the record of this boot, `/run/appliance/boot.json`, which the agent in
//! the initramfs wrote.

use appliance_contract::boot_record::BootRecord;
use appliance_contract::medium;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no record.
#[derive(Debug, thiserror::Error)]
pub enum BootRecordError {
    /// No file, where `appliance`'s agent did not boot the machine.
    #[error("reading {path}, the record of this boot: {error}", path = path.display())]
    Read {
        /// Where the record was looked for.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// Written by another version, or damaged.
    #[error("the record of this boot, {path}, is not what this version writes: {error}", path = path.display())]
    Invalid {
        /// Where the record is.
        path: PathBuf,
        /// The cause.
        error: serde_json::Error,
    },
}

impl BootRecordError {
    /// Whether there is no record at all.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Read { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

/// The record of the machine whose `/` is `root`.
pub fn read(root: &Path) -> Result<BootRecord, BootRecordError> {
    let path = root.join(medium::BOOT_RECORD.trim_start_matches('/'));
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| BootRecordError::Invalid { path, error }),
        Err(error) => Err(BootRecordError::Read { path, error }),
    }
}

/// The record, for readers that do without one.
pub fn find(root: &Path) -> Option<BootRecord> {
    read(root).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::tests::Node;

    #[test]
    fn a_missing_record_is_told_from_a_damaged_one() {
        let node = Node::new();
        let error = read(node.world().root).unwrap_err();
        assert!(error.is_not_found(), "{error}");
        node.file(medium::BOOT_RECORD, b"{");
        let error = read(node.world().root).unwrap_err();
        assert!(!error.is_not_found(), "{error}");
        assert!(error.to_string().contains("boot.json, is not what this version writes: "), "{error}");
        assert_eq!(find(node.world().root), None);
    }
}
