//! Later stages begin while packages are still being configured: scripts keep
//! one core busy, and compressing is what a build waits for most.

use super::Resolved;
use crate::assemble::{self, Ahead, Files};
use crate::boot::initramfs::Initramfs;
use crate::boot::kernel::Kernels;
use crate::embedded;
use crate::format::squashfs::{self, BlockKey};
use crate::images::Form;
use crate::priority;
use crate::profile::RootFormat;
use crate::store::BlockStore;
use crate::tree::{Tree, TreePath};
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

/// Puts into the cache what later stages look for there, and make where they do
/// not find it: what fails here is met again then, and told.
#[derive(Debug)]
pub(super) struct WorkingAhead<'a> {
    resolved: &'a Resolved,
    files: &'a Files,
    trees: &'a Path,
    blocks: Mutex<Vec<BlockKey>>,
}

impl<'a> WorkingAhead<'a> {
    pub fn new(resolved: &'a Resolved, files: &'a Files, trees: &'a Path) -> Self {
        Self { resolved, files, trees, blocks: Mutex::default() }
    }

    /// The blocks of the root that were compressed.
    pub fn finish(self) -> Vec<BlockKey> {
        self.blocks.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> Option<BlockStore> {
        BlockStore::open(self.resolved.order.cache.folder()).ok()
    }
}

impl Ahead for WorkingAhead<'_> {
    fn unpacked(&self, tree: &Tree, stop: &AtomicBool) {
        priority::step_back();
        let order = &self.resolved.order;
        if order.form == Form::Iso {
            let _ = assemble::tools_ahead(&self.resolved.lock.tools, self.files, self.trees);
        }
        if order.profile.root.format != RootFormat::Squashfs {
            return;
        }
        let Some(store) = self.store() else { return };
        let mut tree = tree.clone();
        if let Ok(boot) = TreePath::parse("/boot") {
            // It is the medium's.
            let _ = tree.remove(&boot);
        }
        let mut options = self.resolved.squashfs_options();
        // One core is the scripts' alone: they are thousands of short programs, and even the least of neighbours
        // keeps each waiting for a moment.
        options.threads = NonZero::new(options.threads.get() - 1).unwrap_or(NonZero::<usize>::MIN);
        let made = squashfs::work_ahead(&tree, &options, &store, stop);
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).extend(made);
    }

    fn modules_listed(&self, tree: &Tree) {
        priority::step_back();
        let profile = &self.resolved.order.profile;
        let Some(store) = self.store().filter(|_| profile.agent) else { return };
        let Ok(Kernels { version: Some(version), .. }) = Kernels::find(tree, &profile.boot) else { return };
        let date = self.resolved.source_date;
        let _ = Initramfs::build(tree, &version, &profile.initramfs, embedded::AGENT, date, &store);
    }
}
