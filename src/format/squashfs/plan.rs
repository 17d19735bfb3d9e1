//! The plan of an image: which blocks and fragments there are, decided from the files' fingerprints before any content
//! is read.

use super::blocks::{BlockKey, Keys};
use super::fragment::FragmentPlace;
use super::{Options, SquashfsError};
use crate::progress::Progress;
use crate::tree::fingerprint::{CHUNK, hash, is_zeros};
use crate::tree::{Content, Fingerprint, Kind, NodeId, Tree, TreePath, in_parallel};
use std::collections::HashMap;
use std::sync::Arc;

/// Of one file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Layout {
    /// Whole blocks, of zeros or not; 0 where there is a twin.
    pub blocks: usize,
    pub sparse: u64,
    pub fragment: Option<FragmentPlace>,
    /// The file of the same content that is stored in its stead.
    pub twin: Option<NodeId>,
}

/// What a block holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Load {
    /// A whole block of a file, counted from 0.
    Data { file: NodeId, number: usize },
    /// A fragment block.
    Fragment { index: u32 },
}

/// A run of a file's bytes.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// A place in [`Plan::files`].
    pub file: usize,
    pub start: u64,
    pub length: usize,
}

/// A block to be made.
#[derive(Debug)]
pub(super) struct Job {
    pub load: Load,
    pub key: BlockKey,
    pub pieces: Vec<Piece>,
}

#[derive(Debug)]
pub(super) struct File<'a> {
    pub path: TreePath,
    pub id: NodeId,
    pub content: &'a Content,
    pub fingerprint: Arc<Fingerprint>,
}

impl File<'_> {
    /// The hashes of a run that begins at a chunk's boundary.
    pub fn chunks(&self, piece: &Piece) -> &[[u8; 32]] {
        let first = (piece.start / CHUNK as u64) as usize;
        &self.fingerprint.chunks[first..first + piece.length.div_ceil(CHUNK)]
    }
}

#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub files: Vec<File<'a>>,
    /// By node.
    pub layouts: Vec<Option<Layout>>,
    /// In the order of the image.
    pub jobs: Vec<Job>,
    /// Bytes that no block holds: of twins and zeros.
    pub left_out: u64,
}

impl<'a> Plan<'a> {
    pub fn new(tree: &'a Tree, options: &Options, progress: &dyn Progress) -> Result<Self, SquashfsError> {
        let mut seen = vec![false; tree.node_count()];
        let mut files = Vec::new();
        for (path, id) in tree.walk() {
            if let Kind::File(content) = &tree.node(id).kind
                && !std::mem::replace(&mut seen[id.index()], true)
            {
                files.push((path, id, content));
            }
        }
        progress.item("reading files");
        let fingerprints = in_parallel(files.len(), options.threads.get(), |index| {
            let (path, _, content) = &files[index];
            fingerprint(path, content)
        })?;
        let files = files
            .into_iter()
            .zip(fingerprints)
            .map(|((path, id, content), fingerprint)| File { path, id, content, fingerprint })
            .collect();
        let mut plan = Self { files, layouts: vec![None; tree.node_count()], jobs: Vec::new(), left_out: 0 };
        plan.settle(options);
        Ok(plan)
    }

    /// Reads a block's pieces into `plain`; they must be what they were when they were hashed.
    pub fn read(&self, job: &Job, plain: &mut Vec<u8>) -> Result<(), SquashfsError> {
        plain.clear();
        for piece in &job.pieces {
            let file = &self.files[piece.file];
            let before = plain.len();
            file.content
                .read_at(piece.start, piece.length, plain)
                .map_err(|source| SquashfsError::Read { path: file.path.clone(), source })?;
            let same =
                plain[before..].chunks(CHUNK).zip(file.chunks(piece)).all(|(chunk, known)| hash(chunk) == *known);
            if !same {
                let (path, length) = (file.path.clone(), file.fingerprint.length);
                return Err(SquashfsError::Changed { path, length });
            }
        }
        Ok(())
    }

    fn settle(&mut self, options: &Options) {
        let mut draft = Draft {
            block_size: u64::from(options.block_size),
            keys: Keys::new(options.compression),
            files: &self.files,
            twins: HashMap::new(),
            open: [Open::default(), Open::default()],
            fragments: 0,
            jobs: Vec::new(),
            left_out: 0,
        };
        for (index, file) in self.files.iter().enumerate() {
            self.layouts[file.id.index()] = Some(draft.file(index, file));
        }
        for dense in [false, true] {
            draft.close(dense);
        }
        (self.jobs, self.left_out) = (draft.jobs, draft.left_out);
    }
}

/// A fragment block that is being filled.
#[derive(Debug, Default)]
struct Open {
    index: u32,
    length: usize,
    pieces: Vec<Piece>,
}

struct Draft<'p, 'a> {
    block_size: u64,
    keys: Keys,
    files: &'p [File<'a>],
    /// Files by their content.
    twins: HashMap<[u8; 32], NodeId>,
    /// By [`is_dense`]: one block of what is compressed already does not spoil another.
    open: [Open; 2],
    fragments: u32,
    jobs: Vec<Job>,
    left_out: u64,
}

impl Draft<'_, '_> {
    fn file(&mut self, index: usize, file: &File<'_>) -> Layout {
        let length = file.fingerprint.length;
        if length == 0 {
            return Layout::default();
        }
        if let Some(&twin) = self.twins.get(&file.fingerprint.digest()) {
            self.left_out += length;
            return Layout { twin: Some(twin), ..Layout::default() };
        }
        self.twins.insert(file.fingerprint.digest(), file.id);
        let mut layout = Layout { blocks: (length / self.block_size) as usize, ..Layout::default() };
        for number in 0..layout.blocks {
            let start = number as u64 * self.block_size;
            let piece = Piece { file: index, start, length: self.block_size as usize };
            if file.chunks(&piece).iter().all(is_zeros) {
                layout.sparse += self.block_size;
            } else {
                self.add(Load::Data { file: file.id, number }, vec![piece]);
            }
        }
        self.left_out += layout.sparse;
        let rest = length % self.block_size;
        if rest > 0 {
            let piece = Piece { file: index, start: length - rest, length: rest as usize };
            layout.fragment = Some(self.fragment(file, piece));
        }
        // Linux takes no file to be all hole: mksquashfs leaves one byte too.
        layout.sparse = layout.sparse.min(length - 1);
        layout
    }

    fn fragment(&mut self, file: &File<'_>, piece: Piece) -> FragmentPlace {
        let dense = is_dense(&file.fingerprint.head);
        let open = &self.open[usize::from(dense)];
        let full = open.length as u64 + piece.length as u64 > self.block_size;
        if !open.pieces.is_empty() && (full || begins_block(&file.path)) {
            self.close(dense);
        }
        let open = &mut self.open[usize::from(dense)];
        if open.pieces.is_empty() {
            (open.index, open.length) = (self.fragments, 0);
            self.fragments += 1;
        }
        // A block size fits 32 bits.
        let place = FragmentPlace { index: open.index, offset: open.length as u32 };
        open.length += piece.length;
        open.pieces.push(piece);
        place
    }

    fn close(&mut self, dense: bool) {
        let open = std::mem::take(&mut self.open[usize::from(dense)]);
        if !open.pieces.is_empty() {
            self.add(Load::Fragment { index: open.index }, open.pieces);
        }
    }

    fn add(&mut self, load: Load, pieces: Vec<Piece>) {
        // A piece is at most a block.
        let known = pieces.iter().map(|piece| (piece.length as u32, self.files[piece.file].chunks(piece)));
        let key = self.keys.key(self.block_size as u32, known);
        self.jobs.push(Job { load, key, pieces });
    }
}

/// A file that comes, goes or grows shifts those after it in the fragment
/// blocks, and each block that changed would have to be compressed anew. So at
/// some files, which their names alone choose, a block begins in any case:
/// there the blocks are again what they were.
fn begins_block(path: &TreePath) -> bool {
    /// One file in so many.
    const EVERY: u32 = 128;
    // FNV-1a: any fixed function of the path does.
    let hash =
        path.to_bytes().iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    (hash ^ hash >> 16) % EVERY == 0
}

fn fingerprint(path: &TreePath, content: &Content) -> Result<Arc<Fingerprint>, SquashfsError> {
    let failed = |source| SquashfsError::Read { path: path.clone(), source };
    let known = content.fingerprint().map_err(failed)?;
    // Shorter than the tree says, or longer by now; one that was known before cannot have changed since.
    let read_now = !matches!(content, Content::Host { fingerprint: Some(_), .. });
    let found =
        if read_now && known.length == content.len() { content.current_len().map_err(failed)? } else { known.length };
    if found == content.len() {
        Ok(known)
    } else {
        Err(SquashfsError::Resized { path: path.clone(), expected: content.len(), found })
    }
}

/// How files begin that are compressed already: xz, zstd, gzip, bzip2, zip, PNG, JPEG, WOFF2.
const DENSE: [&[u8]; 8] =
    [b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"BZh", b"PK\x03\x04", b"\x89PNG", b"\xff\xd8\xff", b"wOF2"];

fn is_dense(head: &[u8]) -> bool {
    DENSE.iter().any(|magic| head.starts_with(magic))
}
