//! Speculative compression: blocks are compressed into the block cache before the whole tree is known.

use super::Options;
use super::blocks::{BlockCache, BlockKey};
use super::compressor::{Compressor, Purpose};
use super::data;
use super::plan::{Job, Load, Plan};
use crate::progress::Silent;
use crate::tree::Tree;
use crate::util::poison::Unpoisoned;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Compresses the blocks that an image of `tree` would hold and `cache` lacks, and stores them there, until all are
/// done or `stop` is set. Returns the keys of these blocks. The tree is speculative: a file that disappears or changes
/// is skipped. Errors are ignored, because [`super::write`] meets them again. The result affects only how fast `write`
/// is, never its output.
pub fn precompress(tree: &Tree, options: &Options, cache: &dyn BlockCache, stop: &AtomicBool) -> Vec<BlockKey> {
    let Ok(plan) = Plan::new(tree, options, &Silent) else { return Vec::new() };
    // Whole blocks of a file do not depend on its position. A fragment block is useful only if all files in it are
    // right.
    let (sure, likely): (Vec<&Job>, Vec<&Job>) =
        plan.jobs.iter().partition(|job| matches!(job.load, Load::Data { .. }));
    let jobs = [sure, likely].concat();
    let (next, made) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        let Ok(mut compressor) = Compressor::new(options.compression, Purpose::Data(options.block_size)) else {
            return;
        };
        let (mut plain, mut packed) = (Vec::new(), Vec::new());
        while !stop.load(Ordering::Relaxed) {
            let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            if cache.has(&job.key) || plan.read(job, &mut plain).is_err() {
                continue;
            }
            let Ok(smaller) = compressor.compress(&plain, &mut packed) else { continue };
            cache.put(&job.key, smaller.then_some(&packed));
            made.lock().unpoisoned().push(job.key);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..data::workers(options) {
            scope.spawn(work);
        }
    });
    made.into_inner().unpoisoned()
}
