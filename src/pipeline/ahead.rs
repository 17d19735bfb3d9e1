//! Later stages begin while packages are still being configured: scripts keep
//! one core busy, and compressing is what a build waits for most.

use super::Resolved;
use crate::assemble::{self, Ahead, Files};
use crate::boot::initramfs::Initramfs;
use crate::boot::kernel::Kernels;
use crate::embedded;
use crate::format::squashfs::{self, BlockKey, Options};
use crate::images::Form;
use crate::priority;
use crate::profile::RootFormat;
use crate::store::BlockStore;
use crate::tree::{Tree, TreePath};
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Puts into the cache what later stages look for there, and make where they do
/// not find it: what fails here is met again then, and told.
#[derive(Debug)]
pub(super) struct WorkingAhead<'a> {
    resolved: &'a Resolved,
    files: &'a Files,
    trees: &'a Path,
    compressing: Mutex<Option<Compressing>>,
}

impl<'a> WorkingAhead<'a> {
    pub fn new(resolved: &'a Resolved, files: &'a Files, trees: &'a Path) -> Self {
        Self { resolved, files, trees, compressing: Mutex::default() }
    }

    /// What goes on until the root is packed.
    pub fn finish(self) -> Option<Compressing> {
        self.compressing.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> Option<BlockStore> {
        BlockStore::open(self.resolved.order.cache.folder()).ok()
    }
}

impl Ahead for WorkingAhead<'_> {
    fn unpacked(&self, mut tree: Tree) {
        priority::step_back();
        let order = &self.resolved.order;
        if order.form == Form::Iso {
            let _ = assemble::tools_ahead(&self.resolved.lock.tools, self.files, self.trees);
        }
        if order.profile.root.format != RootFormat::Squashfs {
            return;
        }
        let Some(store) = self.store() else { return };
        if let Ok(boot) = TreePath::parse("/boot") {
            // It is the medium's.
            let _ = tree.remove(&boot);
        }
        let mut options = self.resolved.squashfs_options();
        // One core is the scripts' alone: they are thousands of short programs, and even the least of neighbours
        // keeps each waiting for a moment.
        options.threads = NonZero::new(options.threads.get() - 1).unwrap_or(NonZero::<usize>::MIN);
        let compressing = Compressing::begin(tree, options, store);
        *self.compressing.lock().unwrap_or_else(PoisonError::into_inner) = Some(compressing);
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

/// The root's blocks on their way into the store.
#[derive(Debug)]
pub(super) struct Compressing {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<BlockKey>>>,
}

impl Compressing {
    fn begin(tree: Tree, options: Options, store: BlockStore) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || squashfs::work_ahead(&tree, &options, &store, &told));
        Self { stop, thread: Some(thread) }
    }

    /// Ends it, with what is done by now in the store: the blocks that are new there.
    pub fn end(&mut self) -> Vec<BlockKey> {
        self.stop.store(true, Ordering::Relaxed);
        // One that panicked is as good as one that did nothing.
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Compressing {
    fn drop(&mut self) {
        self.end();
    }
}
