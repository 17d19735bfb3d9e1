//! Files of the same content, which are stored once.

use crate::tree::NodeId;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

pub(super) type Digest = [u8; 32];

/// What is cheap to know of a file: its size, and the hash of its first block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Look {
    length: u64,
    head: Digest,
}

impl Look {
    pub fn new(length: u64, head: &[u8]) -> Self {
        Self { length, head: Sha256::digest(head).into() }
    }

    pub fn head(&self) -> Digest {
        self.head
    }
}

/// The files that were stored, as far as another may be the same.
#[derive(Debug, Default)]
pub(super) struct Twins {
    files: HashMap<Look, Vec<(Digest, NodeId)>>,
}

impl Twins {
    /// Whether it takes the hash of the whole file to tell.
    pub fn may_have(&self, look: &Look) -> bool {
        self.files.contains_key(look)
    }

    pub fn find(&self, look: &Look, digest: &Digest) -> Option<NodeId> {
        self.files.get(look)?.iter().find(|(found, _)| found == digest).map(|(_, file)| *file)
    }

    pub fn add(&mut self, look: Look, digest: Digest, file: NodeId) {
        self.files.entry(look).or_default().push((digest, file));
    }
}
