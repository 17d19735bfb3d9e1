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

/// Compresses the blocks that an image of `tree` would hold and `keeper` has
/// not, and gives them to it, until all are done or `stop` is set; returns which
/// those were. The tree is a guess: a file that is gone or changes
/// meanwhile is left out, and so is all that fails, for [`super::write`] comes
/// upon it again, and does not see what was guessed but by the time it takes.
pub fn work_ahead(tree: &Tree, options: &Options, keeper: &dyn BlockCache, stop: &AtomicBool) -> Vec<BlockKey> {
    let Ok(plan) = Plan::new(tree, options, &Silent) else { return Vec::new() };
    // Whole blocks of a file are what they are wherever it comes to lie;
    // fragment blocks are right only as far as their neighbours are.
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
            if keeper.has(&job.key) || plan.read(job, &mut plain).is_err() {
                continue;
            }
            let Ok(smaller) = compressor.compress(&plain, &mut packed) else { continue };
            keeper.put(&job.key, smaller.then_some(&packed));
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
