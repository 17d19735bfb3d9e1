//! Blocks on their way from the reader to the compressors to the writer. There
//! are only so many, and who needs one waits: that bounds the memory.

use super::SquashfsError;
use super::compressor::Compressor;
use crate::tree::NodeId;
use crossbeam_channel::{Receiver, Sender};

/// What a block holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Load {
    /// A whole block of a file, counted from 0.
    Data { file: NodeId, number: usize },
    /// A fragment block.
    Fragment { index: u32 },
}

/// A block's bytes, before and after compression.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    pub plain: Vec<u8>,
    pub packed: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Job {
    /// The order of blocks in the image.
    pub turn: u64,
    pub load: Load,
    pub buffer: Buffer,
}

#[derive(Debug)]
pub(super) struct Packed {
    pub job: Job,
    /// Whether the packed bytes are the smaller ones.
    pub smaller: bool,
}

/// The reader's end was closed from behind: a later stage failed, and says why itself.
#[derive(Debug)]
pub(super) struct Stopped;

/// The reader's end.
#[derive(Debug)]
pub(super) struct Queue {
    free: Receiver<Buffer>,
    jobs: Sender<Job>,
    spare: Option<Buffer>,
    turn: u64,
}

impl Queue {
    pub fn new(free: Receiver<Buffer>, jobs: Sender<Job>) -> Self {
        Self { free, jobs, spare: None, turn: 0 }
    }

    /// An empty buffer, as soon as one is free.
    pub fn take(&mut self) -> Result<Buffer, Stopped> {
        let mut buffer = match self.spare.take() {
            Some(buffer) => buffer,
            None => self.free.recv().map_err(|_| Stopped)?,
        };
        buffer.plain.clear();
        Ok(buffer)
    }

    /// Gives a buffer back that was not needed.
    pub fn give_back(&mut self, buffer: Buffer) {
        self.spare = Some(buffer);
    }

    pub fn send(&mut self, load: Load, buffer: Buffer) -> Result<(), Stopped> {
        let turn = self.turn;
        self.turn += 1;
        self.jobs.send(Job { turn, load, buffer }).map_err(|_| Stopped)
    }
}

/// A compressor's work: ends when there are no more jobs, or nobody waits for results.
pub(super) fn work(mut compressor: Compressor, jobs: &Receiver<Job>, results: &Sender<Result<Packed, SquashfsError>>) {
    for mut job in jobs {
        let Buffer { plain, packed } = &mut job.buffer;
        let result = compressor.compress(plain, packed).map(|smaller| Packed { job, smaller });
        if results.send(result).is_err() {
            return;
        }
    }
}
