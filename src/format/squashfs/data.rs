//! Data and fragment blocks: read by one thread, compressed by several, written
//! by the caller's, in the order in which they were read.

use super::compressor::{Compressor, Purpose};
use super::fragment::{FragmentEntry, FragmentPlace};
use super::queue::{Buffer, Load, Packed, Queue, work};
use super::reader::{Halt, Layouts, Reader};
use super::survey::Survey;
use super::{Options, SquashfsError};
use crate::progress::Progress;
use crate::tree::{NodeId, Tree};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::BTreeMap;
use std::io::Write;

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

/// Writes the content of all files to `out`, which stands at `start` of the image.
pub(super) fn pack(
    tree: &Tree,
    survey: &Survey,
    options: &Options,
    start: u64,
    out: &mut impl Write,
    progress: &dyn Progress,
) -> Result<Data, SquashfsError> {
    let most = (MEMORY / (BLOCKS_PER_WORKER * options.block_size as usize)).max(1);
    let workers = options.threads.get().min(most);
    let compressors = (0..workers)
        .map(|_| Compressor::new(options.compression, Purpose::Data(options.block_size)))
        .collect::<Result<Vec<_>, _>>()?;
    let buffers = 2 * workers + Reader::BUFFERS;
    let (free_in, free) = bounded(buffers);
    for _ in 0..buffers {
        // There is room for all of them.
        let _ = free_in.send(Buffer::default());
    }
    let (jobs_in, jobs) = bounded(buffers);
    let (results_in, results) = bounded(buffers);
    let reader = Reader::new(tree, &survey.sizes, options.block_size, Queue::new(free, jobs_in), progress);
    let mut writer = Writer {
        out,
        position: start,
        files: vec![StoredFile::default(); tree.node_count()],
        fragments: Vec::new(),
        progress,
    };
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || reader.run());
        for compressor in compressors {
            let (jobs, results) = (jobs.clone(), results_in.clone());
            scope.spawn(move || work(compressor, &jobs, &results));
        }
        drop((jobs, results_in));
        // It drops its ends of the channels when it fails, and so stops the others.
        let written = writer.run(results, free_in);
        let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (read, written) {
            (Err(Halt::Failed(error)), _) | (_, Err(error)) => Err(error),
            // Nothing stops the reader but the writer's failure.
            (Err(Halt::Stopped), Ok(())) => Ok(None),
            (Ok(layouts), Ok(())) => Ok(Some(layouts)),
        }
    })?
    .map(|layouts| writer.finish(layouts))
    .ok_or_else(|| SquashfsError::Compress { length: 0, message: "a compressor ended early".to_owned() })
}

struct Writer<'a, W> {
    out: &'a mut W,
    position: u64,
    files: Vec<StoredFile>,
    fragments: Vec<FragmentEntry>,
    progress: &'a dyn Progress,
}

impl<W: Write> Writer<'_, W> {
    /// Writes blocks in their turn, and gives their buffers back.
    fn run(
        &mut self,
        results: Receiver<Result<Packed, SquashfsError>>,
        free: Sender<Buffer>,
    ) -> Result<(), SquashfsError> {
        let mut early = BTreeMap::new();
        let mut turn = 0;
        for packed in results {
            let packed = packed?;
            early.insert(packed.job.turn, packed);
            while let Some(packed) = early.remove(&turn) {
                self.write(&packed)?;
                turn += 1;
                // The reader may have ended and need none.
                let _ = free.send(packed.job.buffer);
            }
        }
        Ok(())
    }

    fn write(&mut self, packed: &Packed) -> Result<(), SquashfsError> {
        let Buffer { plain, packed: bytes } = &packed.job.buffer;
        let (bytes, mark) = if packed.smaller { (bytes, 0) } else { (plain, STORED) };
        self.out.write_all(bytes)?;
        // A block is at most 1 MiB.
        let size = bytes.len() as u32 | mark;
        let start = self.position;
        self.position += bytes.len() as u64;
        match packed.job.load {
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
        self.progress.advance(plain.len() as u64);
        Ok(())
    }

    fn finish(mut self, layouts: Layouts) -> Data {
        let mut duplicates = 0;
        for (file, layout) in self.files.iter_mut().zip(&layouts.files) {
            let Some(layout) = layout else { continue };
            file.sparse = layout.sparse;
            file.fragment = layout.fragment;
            file.twin = layout.twin;
            // Blocks of zeros at the end did not come by.
            file.blocks.resize(layout.blocks, 0);
            duplicates += u64::from(layout.twin.is_some());
        }
        Data { files: self.files, fragments: self.fragments, end: self.position, duplicates }
    }
}
