//! Data and fragment blocks: taken from those that were kept, or read and
//! compressed, by several threads; written by the caller's, in the plan's order.

use super::blocks::{BlockCache, Hit};
use super::compressor::{Compressor, Purpose};
use super::fragment::{FragmentEntry, FragmentPlace};
use super::plan::{Job, Load, Plan};
use super::{Options, SquashfsError};
use crate::progress::Progress;
use crate::tree::{NodeId, Tree};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;

/// Set in the size of a block that is stored as it is.
const STORED: u32 = 1 << 24;

/// A compressor of a block's size takes up to 20 times that size (zstd's
/// tables), and there are two buffers in flight for each, of two blocks: the
/// bound on memory is a bound on compressors.
const BLOCKS_PER_WORKER: usize = 24;
const MEMORY: usize = 192 << 20;

/// Where a file's content is.
#[derive(Debug, Clone, Default)]
pub(super) struct StoredFile {
    pub start: u64,
    /// Sizes, as in the inode: 0 for a block of zeros.
    pub blocks: Vec<u32>,
    pub sparse: u64,
    pub fragment: Option<FragmentPlace>,
    twin: Option<NodeId>,
}

#[derive(Debug)]
pub(super) struct Data {
    files: Vec<StoredFile>,
    pub fragments: Vec<FragmentEntry>,
    /// Where the data ends in the image.
    pub end: u64,
    /// Files that are stored as another.
    pub duplicates: u64,
    /// Bytes, before compression, of blocks that were kept from another image.
    pub reused: u64,
}

impl Data {
    pub fn stored(&self, id: NodeId) -> &StoredFile {
        let file = &self.files[id.index()];
        match file.twin {
            Some(twin) => &self.files[twin.index()],
            None => file,
        }
    }
}

/// A block's bytes, before and after compression.
#[derive(Debug, Default)]
struct Buffer {
    plain: Vec<u8>,
    packed: Vec<u8>,
}

/// A block that is ready to be written.
#[derive(Debug)]
struct Made {
    turn: usize,
    buffer: Buffer,
    kept: Hit,
    /// It was kept from an earlier image.
    reused: bool,
}

/// How many compressors work at a time.
pub(super) fn workers(options: &Options) -> usize {
    let most = (MEMORY / (BLOCKS_PER_WORKER * options.block_size as usize)).max(1);
    options.threads.get().min(most)
}

/// Writes the content of all files to `out`, which stands at `start` of the image.
pub(super) fn pack(
    tree: &Tree,
    options: &Options,
    keeper: &dyn BlockCache,
    start: u64,
    out: &mut impl Write,
    progress: &dyn Progress,
) -> Result<Data, SquashfsError> {
    let plan = Plan::new(tree, options, progress)?;
    progress.advance(plan.left_out);
    let workers = workers(options);
    let compressors = (0..workers)
        .map(|_| Compressor::new(options.compression, Purpose::Data(options.block_size)))
        .collect::<Result<Vec<_>, _>>()?;
    let buffers = 2 * workers + 1;
    let (free_in, free) = bounded(buffers);
    for _ in 0..buffers {
        // There is room for all of them.
        let _ = free_in.send(Buffer::default());
    }
    let (made_in, made) = bounded(buffers);
    let turns = Turns { free, next: Mutex::new(0) };
    let mut writer = Writer {
        out,
        position: start,
        files: vec![StoredFile::default(); tree.node_count()],
        fragments: Vec::new(),
        reused: 0,
        progress,
    };
    std::thread::scope(|scope| {
        for compressor in compressors {
            let (plan, turns, made) = (&plan, &turns, made_in.clone());
            scope.spawn(move || Maker { plan, keeper, compressor }.run(turns, &made));
        }
        drop(made_in);
        // It drops its ends of the channels when it fails, and so stops the others.
        writer.run(&plan, made, free_in)
    })?;
    Ok(writer.finish(&plan))
}

/// Who makes which block: a turn is taken with a buffer in hand, so that the
/// block whose turn it is to be written always has one.
struct Turns {
    free: Receiver<Buffer>,
    next: Mutex<usize>,
}

impl Turns {
    fn take(&self) -> Option<(Buffer, usize)> {
        let buffer = self.free.recv().ok()?;
        let mut next = self.next.lock().ok()?;
        let turn = *next;
        *next += 1;
        Some((buffer, turn))
    }
}

struct Maker<'p, 'a> {
    plan: &'p Plan<'a>,
    keeper: &'p dyn BlockCache,
    compressor: Compressor,
}

impl Maker<'_, '_> {
    fn run(mut self, turns: &Turns, made: &Sender<Result<Made, SquashfsError>>) {
        while let Some((buffer, turn)) = turns.take() {
            let Some(job) = self.plan.jobs.get(turn) else { return };
            if made.send(self.make(job, buffer, turn)).is_err() {
                return;
            }
        }
    }

    fn make(&mut self, job: &Job, mut buffer: Buffer, turn: usize) -> Result<Made, SquashfsError> {
        buffer.packed.clear();
        let kept = self.keeper.get(&job.key, &mut buffer.packed);
        if kept != Some(Hit::Compressed) {
            self.plan.read(job, &mut buffer.plain)?;
        }
        if let Some(kept) = kept {
            return Ok(Made { turn, buffer, kept, reused: !self.keeper.is_new(&job.key) });
        }
        let smaller = self.compressor.compress(&buffer.plain, &mut buffer.packed)?;
        self.keeper.put(&job.key, smaller.then_some(&buffer.packed));
        let kept = if smaller { Hit::Compressed } else { Hit::Stored };
        Ok(Made { turn, buffer, kept, reused: false })
    }
}

struct Writer<'a, W> {
    out: &'a mut W,
    position: u64,
    files: Vec<StoredFile>,
    fragments: Vec<FragmentEntry>,
    reused: u64,
    progress: &'a dyn Progress,
}

impl<W: Write> Writer<'_, W> {
    /// Writes blocks in their turn, and gives their buffers back.
    fn run(
        &mut self,
        plan: &Plan<'_>,
        made: Receiver<Result<Made, SquashfsError>>,
        free: Sender<Buffer>,
    ) -> Result<(), SquashfsError> {
        let mut early = BTreeMap::new();
        let mut turn = 0;
        while turn < plan.jobs.len() {
            let Ok(block) = made.recv() else {
                let message = "a compressor ended early".to_owned();
                return Err(SquashfsError::Compress { length: 0, message });
            };
            let block = block?;
            early.insert(block.turn, block);
            while let Some(block) = early.remove(&turn) {
                self.write(&plan.jobs[turn], &block)?;
                turn += 1;
                // The makers may have ended and need none.
                let _ = free.send(block.buffer);
            }
        }
        Ok(())
    }

    fn write(&mut self, job: &Job, block: &Made) -> Result<(), SquashfsError> {
        let (bytes, mark) = match block.kept {
            Hit::Compressed => (&block.buffer.packed, 0),
            Hit::Stored => (&block.buffer.plain, STORED),
        };
        self.out.write_all(bytes)?;
        // A block is at most 1 MiB.
        let size = bytes.len() as u32 | mark;
        let start = self.position;
        self.position += bytes.len() as u64;
        match job.load {
            Load::Data { file, number } => {
                let file = &mut self.files[file.index()];
                // No block lies where the superblock does.
                if file.start == 0 {
                    file.start = start;
                }
                file.blocks.resize(number, 0);
                file.blocks.push(size);
            }
            Load::Fragment { index } => {
                let index = index as usize;
                if self.fragments.len() <= index {
                    self.fragments.resize(index + 1, FragmentEntry::default());
                }
                self.fragments[index] = FragmentEntry { start, size };
            }
        }
        let length: usize = job.pieces.iter().map(|piece| piece.length).sum();
        if block.reused {
            self.reused += length as u64;
        }
        self.progress.advance(length as u64);
        Ok(())
    }

    fn finish(mut self, plan: &Plan<'_>) -> Data {
        let mut duplicates = 0;
        for (file, layout) in self.files.iter_mut().zip(&plan.layouts) {
            let Some(layout) = layout else { continue };
            file.sparse = layout.sparse;
            file.fragment = layout.fragment;
            file.twin = layout.twin;
            // Blocks of zeros at the end did not come by.
            file.blocks.resize(layout.blocks, 0);
            duplicates += u64::from(layout.twin.is_some());
        }
        let Self { files, fragments, position, reused, .. } = self;
        Data { files, fragments, end: position, duplicates, reused }
    }
}
