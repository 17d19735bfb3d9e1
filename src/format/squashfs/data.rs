//! Data and fragment blocks. Several threads take them from the block cache, or read and compress them. The caller's
//! thread writes them in the plan's order.

use super::blocks::{BlockCache, Hit};
use super::compressor::{Compressor, Purpose};
use super::fragment::{FragmentEntry, FragmentRef};
use super::plan::{Job, Load, Plan};
use super::{Options, SquashfsError};
use crate::progress::Progress;
use crate::tree::{NodeId, Tree};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;

/// Set in the size of a block that is stored uncompressed.
const STORED: u32 = 1 << 24;

/// Memory of a worker, in blocks: up to 20 for the compressor (zstd's tables), and two buffers of two blocks each. So
/// the bound on memory bounds the number of workers.
const BLOCKS_PER_WORKER: usize = 24;
const MEMORY: usize = 192 << 20;

/// The location of a file's content.
#[derive(Debug, Clone, Default)]
pub(super) struct StoredFile {
    pub start: u64,
    /// Sizes, as in the inode: 0 for a block of zeros.
    pub blocks: Vec<u32>,
    pub sparse: u64,
    pub fragment: Option<FragmentRef>,
    twin: Option<NodeId>,
}

#[derive(Debug)]
pub(super) struct Data {
    files: Vec<StoredFile>,
    pub fragments: Vec<FragmentEntry>,
    /// Where the data ends in the image.
    pub end: u64,
    /// Files that share the stored content of another.
    pub duplicates: u64,
    /// Uncompressed bytes of the blocks that earlier builds cached.
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
struct FinishedBlock {
    index: usize,
    buffer: Buffer,
    hit: Hit,
    /// An earlier build cached it.
    reused: bool,
}

/// The number of compressor threads.
pub(super) fn workers(options: &Options) -> usize {
    let most = (MEMORY / (BLOCKS_PER_WORKER * options.block_size as usize)).max(1);
    options.threads.get().min(most)
}

/// Writes the content of all files to `out`, whose position in the image is `start`.
pub(super) fn pack(
    tree: &Tree,
    options: &Options,
    cache: &dyn BlockCache,
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
        // The channel has the capacity for all of them.
        let _ = free_in.send(Buffer::default());
    }
    let (made_in, made) = bounded(buffers);
    let queue = JobQueue { free, next: Mutex::new(0) };
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
            let (plan, queue, made) = (&plan, &queue, made_in.clone());
            scope.spawn(move || Worker { plan, cache, compressor }.run(queue, &made));
        }
        drop(made_in);
        // On an error it drops its ends of the channels, which stops the workers.
        writer.run(&plan, made, free_in)
    })?;
    Ok(writer.finish(&plan))
}

/// Assigns blocks to workers. A worker takes a buffer before it takes a block, so the block that is to be written next
/// always has a buffer.
struct JobQueue {
    free: Receiver<Buffer>,
    next: Mutex<usize>,
}

impl JobQueue {
    fn take(&self) -> Option<(Buffer, usize)> {
        let buffer = self.free.recv().ok()?;
        let mut next = self.next.lock().ok()?;
        let index = *next;
        *next += 1;
        Some((buffer, index))
    }
}

struct Worker<'p, 'a> {
    plan: &'p Plan<'a>,
    cache: &'p dyn BlockCache,
    compressor: Compressor,
}

impl Worker<'_, '_> {
    fn run(mut self, queue: &JobQueue, made: &Sender<Result<FinishedBlock, SquashfsError>>) {
        while let Some((buffer, index)) = queue.take() {
            let Some(job) = self.plan.jobs.get(index) else { return };
            if made.send(self.make(job, buffer, index)).is_err() {
                return;
            }
        }
    }

    fn make(&mut self, job: &Job, mut buffer: Buffer, index: usize) -> Result<FinishedBlock, SquashfsError> {
        buffer.packed.clear();
        let hit = self.cache.get(&job.key, &mut buffer.packed);
        if hit != Some(Hit::Compressed) {
            self.plan.read(job, &mut buffer.plain)?;
        }
        if let Some(hit) = hit {
            return Ok(FinishedBlock { index, buffer, hit, reused: !self.cache.is_new(&job.key) });
        }
        let smaller = self.compressor.compress(&buffer.plain, &mut buffer.packed)?;
        self.cache.put(&job.key, smaller.then_some(&buffer.packed));
        let hit = if smaller { Hit::Compressed } else { Hit::Stored };
        Ok(FinishedBlock { index, buffer, hit, reused: false })
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
    /// Writes the blocks in order and returns their buffers to the workers.
    fn run(
        &mut self,
        plan: &Plan<'_>,
        made: Receiver<Result<FinishedBlock, SquashfsError>>,
        free: Sender<Buffer>,
    ) -> Result<(), SquashfsError> {
        let mut early = BTreeMap::new();
        let mut index = 0;
        while index < plan.jobs.len() {
            let Ok(block) = made.recv() else {
                let message = "a compressor ended early".to_owned();
                return Err(SquashfsError::Compress { length: 0, message });
            };
            let block = block?;
            early.insert(block.index, block);
            while let Some(block) = early.remove(&index) {
                self.write(&plan.jobs[index], &block)?;
                index += 1;
                // The workers may have ended, and then need no buffer.
                let _ = free.send(block.buffer);
            }
        }
        Ok(())
    }

    fn write(&mut self, job: &Job, block: &FinishedBlock) -> Result<(), SquashfsError> {
        let (bytes, mark) = match block.hit {
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
                // 0 means unset: the superblock is at offset 0.
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
            // Blocks of zeros at the end are no jobs, and are added here.
            file.blocks.resize(layout.blocks, 0);
            duplicates += u64::from(layout.twin.is_some());
        }
        let Self { files, fragments, position, reused, .. } = self;
        Data { files, fragments, end: position, duplicates, reused }
    }
}
