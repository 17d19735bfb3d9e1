//! Speculative threads: later stages begin while packages are still being configured. Maintainer scripts use one core,
//! and compression takes most of a build's time.

use super::{BuildRequest, Resolved};
use crate::boot::initramfs::Initramfs;
use crate::boot::kernel::Kernels;
use crate::cache::BlockStore;
use crate::embedded;
use crate::format::squashfs::{self, BlockKey};
use crate::rootfs::{self, Files, SpeculationHooks};
use crate::tree::{Tree, TreePath};
use crate::util::poison::Unpoisoned;
use crate::util::priority;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

/// Fills the cache with results that later stages look up. Errors are ignored: on a cache miss the later stage does the
/// work itself and reports them.
#[derive(Debug)]
pub(super) struct Speculation<'a> {
    resolved: &'a Resolved,
    files: &'a Files,
    trees: &'a Path,
    threads: Mutex<SpeculativeThreads>,
}

impl<'a> Speculation<'a> {
    pub fn new(resolved: &'a Resolved, files: &'a Files, trees: &'a Path) -> Self {
        Self { resolved, files, trees, threads: Mutex::default() }
    }

    /// The threads, which continue until the root is packed.
    pub fn finish(self) -> SpeculativeThreads {
        self.threads.into_inner().unpoisoned()
    }

    fn threads(&self) -> MutexGuard<'_, SpeculativeThreads> {
        self.threads.lock().unpoisoned()
    }

    fn store(&self) -> Option<BlockStore> {
        BlockStore::open(&self.resolved.request.cache).ok()
    }
}

impl SpeculationHooks for Speculation<'_> {
    fn on_unpacked(&self, mut tree: Tree) {
        priority::set_idle_priority();
        let request = &self.resolved.request;
        if request.kind.needs_boot_loader() {
            let _ = rootfs::prefetch_tools(&self.resolved.lock.tools, self.files, self.trees);
        }
        if request.kind.root_location(&request.profile).is_none() {
            return;
        }
        let Some(store) = self.store() else { return };
        if let Ok(boot) = TreePath::parse("/boot") {
            // It is on the medium, not in the root image.
            let _ = tree.remove(&boot);
        }
        let mut options = self.resolved.squashfs_options();
        // Maintainer scripts have one core to themselves. They are thousands of short programs, and even a thread of
        // idle priority delays each of them.
        options.threads = NonZero::new(options.threads.get() - 1).unwrap_or(NonZero::<usize>::MIN);
        let mut threads = self.threads();
        let stop = Arc::clone(&threads.stop);
        threads.blocks = Some(thread::spawn(move || squashfs::precompress(&tree, &options, &store, &stop)));
    }

    fn on_modules_listed(&self, tree: Tree) {
        let BuildRequest { profile, kind, .. } = &self.resolved.request;
        let Some(store) = self.store().filter(|_| profile.agent && kind.needs_initramfs()) else { return };
        let Ok(Kernels { version: Some(version), .. }) = Kernels::find(&tree, &profile.boot) else { return };
        let (drivers, date) = (profile.initramfs.clone(), self.resolved.source_date);
        self.threads().initramfs = Some(thread::spawn(move || {
            priority::set_background_priority();
            let _ = Initramfs::build(&tree, &version, &drivers, embedded::AGENT, date, &store);
        }));
    }
}

/// Threads that were started early and continue until the root is packed.
#[derive(Debug, Default)]
pub(super) struct SpeculativeThreads {
    stop: Arc<AtomicBool>,
    blocks: Option<JoinHandle<Vec<BlockKey>>>,
    initramfs: Option<JoinHandle<()>>,
}

impl SpeculativeThreads {
    /// Stops the compression of blocks. Returns the blocks that it added to the block cache.
    pub fn end_blocks(&mut self) -> Vec<BlockKey> {
        self.stop.store(true, Ordering::Relaxed);
        // A panicked speculative thread is treated as if it had not run.
        self.blocks.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }

    /// The thread that makes the initramfs, to be joined before the cache is asked for it, as a part of it is no use.
    /// `None` if none was started.
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
