//! Speculative threads: later stages begin while packages are still being configured. Scripts keep one core busy, and
//! compression is what a build waits for most.

use super::{BuildRequest, Resolved};
use crate::boot::initramfs::Initramfs;
use crate::boot::kernel::Kernels;
use crate::cache::BlockStore;
use crate::embedded;
use crate::format::squashfs::{self, BlockKey};
use crate::rootfs::{self, Ahead, Files};
use crate::tree::{Tree, TreePath};
use crate::util::poison::Unpoisoned;
use crate::util::priority;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

/// Puts into the cache what later stages look for there, and make where they do
/// not find it: what fails here is met again then, and told.
#[derive(Debug)]
pub(super) struct Speculation<'a> {
    resolved: &'a Resolved,
    files: &'a Files,
    trees: &'a Path,
    begun: Mutex<SpeculativeThreads>,
}

impl<'a> Speculation<'a> {
    pub fn new(resolved: &'a Resolved, files: &'a Files, trees: &'a Path) -> Self {
        Self { resolved, files, trees, begun: Mutex::default() }
    }

    /// What goes on until the root is packed.
    pub fn finish(self) -> SpeculativeThreads {
        self.begun.into_inner().unpoisoned()
    }

    fn begun(&self) -> MutexGuard<'_, SpeculativeThreads> {
        self.begun.lock().unpoisoned()
    }

    fn store(&self) -> Option<BlockStore> {
        BlockStore::open(&self.resolved.request.cache).ok()
    }
}

impl Ahead for Speculation<'_> {
    fn unpacked(&self, mut tree: Tree) {
        priority::set_idle_priority();
        let request = &self.resolved.request;
        if request.kind.needs_boot_loader() {
            let _ = rootfs::tools_ahead(&self.resolved.lock.tools, self.files, self.trees);
        }
        if request.kind.root_location(&request.profile).is_none() {
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
        let mut begun = self.begun();
        let stop = Arc::clone(&begun.stop);
        begun.blocks = Some(thread::spawn(move || squashfs::work_ahead(&tree, &options, &store, &stop)));
    }

    fn modules_listed(&self, tree: Tree) {
        let BuildRequest { profile, kind, .. } = &self.resolved.request;
        let Some(store) = self.store().filter(|_| profile.agent && kind.needs_initramfs()) else { return };
        let Ok(Kernels { version: Some(version), .. }) = Kernels::find(&tree, &profile.boot) else { return };
        let (drivers, date) = (profile.initramfs.clone(), self.resolved.source_date);
        self.begun().initramfs = Some(thread::spawn(move || {
            priority::set_background_priority();
            let _ = Initramfs::build(&tree, &version, &drivers, embedded::AGENT, date, &store);
        }));
    }
}

/// What was begun, and goes on until the root is packed.
#[derive(Debug, Default)]
pub(super) struct SpeculativeThreads {
    stop: Arc<AtomicBool>,
    blocks: Option<JoinHandle<Vec<BlockKey>>>,
    initramfs: Option<JoinHandle<()>>,
}

impl SpeculativeThreads {
    /// Ends the blocks, with what is done by now in the store: those that are new there.
    pub fn end_blocks(&mut self) -> Vec<BlockKey> {
        self.stop.store(true, Ordering::Relaxed);
        // What panicked is as good as what was never begun.
        self.blocks.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }

    /// The initramfs, which is one piece: to be waited for before it is looked for in the store. `None` where none
    /// was begun.
    pub fn take_initramfs(&mut self) -> Option<JoinHandle<()>> {
        self.initramfs.take()
    }
}

impl Drop for SpeculativeThreads {
    fn drop(&mut self) {
        self.end_blocks();
        let _ = self.take_initramfs().map(JoinHandle::join);
    }
}
