//! The pass over a tree that reads its files: cuts them into blocks, gathers
//! their ends in fragment blocks, and leaves out what is stored already.

use super::SquashfsError;
use super::fragment::FragmentPlace;
use super::queue::{Buffer, Load, Queue, Stopped};
use super::twins::{Digest, Look, Twins};
use crate::progress::Progress;
use crate::tree::{Content, Kind, NodeId, Tree, TreePath};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::io::Read;

/// What reading a file settles about its place in the image.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Layout {
    /// Whole blocks, of zeros or not; 0 where there is a twin.
    pub blocks: usize,
    pub sparse: u64,
    pub fragment: Option<FragmentPlace>,
    /// The file of the same content that is stored in its stead.
    pub twin: Option<NodeId>,
}

/// Of all files, by node; and how many fragment blocks there are.
#[derive(Debug)]
pub(super) struct Layouts {
    pub files: Vec<Option<Layout>>,
    pub fragments: u32,
}

#[derive(Debug)]
pub(super) enum Halt {
    Stopped,
    Failed(SquashfsError),
}

impl From<Stopped> for Halt {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<SquashfsError> for Halt {
    fn from(error: SquashfsError) -> Self {
        Self::Failed(error)
    }
}

pub(super) struct Reader<'a> {
    tree: &'a Tree,
    /// How many files are of a size.
    sizes: &'a HashMap<u64, u32>,
    block_size: usize,
    queue: Queue,
    progress: &'a dyn Progress,
    twins: Twins,
    layouts: Layouts,
    /// Fragment blocks that are being filled, by [`Dense`]: one block of what
    /// is compressed already does not spoil another.
    open: [Option<OpenFragment>; 2],
}

struct OpenFragment {
    index: u32,
    buffer: Buffer,
}

impl<'a> Reader<'a> {
    /// The most buffers that a reader holds at a time: open fragments, and what it reads into.
    pub const BUFFERS: usize = 3;

    pub fn new(
        tree: &'a Tree,
        sizes: &'a HashMap<u64, u32>,
        block_size: u32,
        queue: Queue,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            tree,
            sizes,
            block_size: block_size as usize,
            queue,
            progress,
            twins: Twins::default(),
            layouts: Layouts { files: vec![None; tree.node_count()], fragments: 0 },
            open: [None, None],
        }
    }

    pub fn run(mut self) -> Result<Layouts, Halt> {
        let tree = self.tree;
        for (path, id) in tree.walk() {
            if let Kind::File(content) = &tree.node(id).kind
                && self.layouts.files[id.index()].is_none()
            {
                let layout = self.file(&path, id, content)?;
                self.layouts.files[id.index()] = Some(layout);
            }
        }
        for open in std::mem::take(&mut self.open).into_iter().flatten() {
            self.queue.send(Load::Fragment { index: open.index }, open.buffer)?;
        }
        Ok(self.layouts)
    }

    fn file(&mut self, path: &TreePath, id: NodeId, content: &Content) -> Result<Layout, Halt> {
        let length = content.len();
        if length == 0 {
            Source::open(path, content)?.finish()?;
            return Ok(Layout::default());
        }
        self.progress.item(&path.to_string());
        let mut source = Source::open(path, content)?;
        let mut buffer = self.queue.take()?;
        source.fill(&mut buffer.plain, self.block_size)?;
        let shared = self.sizes.get(&length).is_some_and(|&files| files > 1);
        let look = shared.then(|| Look::new(length, &buffer.plain));
        let mut expected = None;
        if let Some(look) = look
            && self.twins.may_have(&look)
        {
            let digest = if source.is_at_end() { look.head() } else { digest(path, content, self.block_size)? };
            if let Some(twin) = self.twins.find(&look, &digest) {
                source.finish()?;
                self.queue.give_back(buffer);
                self.progress.advance(length);
                return Ok(Layout { twin: Some(twin), ..Layout::default() });
            }
            expected = Some(digest);
        }
        let (layout, digest) = self.store(id, source, buffer, look.is_some())?;
        if let (Some(look), Some(digest)) = (look, digest) {
            if expected.is_some_and(|expected| expected != digest) {
                return Err(SquashfsError::Changed { path: path.clone(), length }.into());
            }
            self.twins.add(look, digest, id);
        }
        Ok(layout)
    }

    /// Sends a file's content on its way; `buffer` holds its beginning.
    fn store(
        &mut self,
        id: NodeId,
        mut source: Source,
        mut buffer: Buffer,
        hashed: bool,
    ) -> Result<(Layout, Option<Digest>), Halt> {
        let mut hash = hashed.then(Sha256::new);
        let mut layout = Layout::default();
        let dense = is_dense(&buffer.plain);
        for number in 0.. {
            if let Some(hash) = &mut hash {
                hash.update(&buffer.plain);
            }
            if buffer.plain.len() < self.block_size {
                layout.fragment = Some(self.fragment(dense, buffer)?);
            } else if is_zero(&buffer.plain) {
                layout.sparse += self.block_size as u64;
                self.progress.advance(self.block_size as u64);
                self.queue.give_back(buffer);
            } else {
                self.queue.send(Load::Data { file: id, number }, buffer)?;
            }
            if layout.fragment.is_none() {
                layout.blocks = number + 1;
            }
            if source.is_at_end() {
                break;
            }
            buffer = self.queue.take()?;
            source.fill(&mut buffer.plain, self.block_size)?;
        }
        // Linux takes no file to be all hole: mksquashfs leaves one byte too.
        layout.sparse = layout.sparse.min(source.length - 1);
        source.finish()?;
        Ok((layout, hash.map(|hash| hash.finalize().into())))
    }

    fn fragment(&mut self, dense: bool, buffer: Buffer) -> Result<FragmentPlace, Halt> {
        let slot = &mut self.open[usize::from(dense)];
        if let Some(open) = slot
            && open.buffer.plain.len() + buffer.plain.len() <= self.block_size
        {
            // A block size fits 32 bits.
            let place = FragmentPlace { index: open.index, offset: open.buffer.plain.len() as u32 };
            open.buffer.plain.extend_from_slice(&buffer.plain);
            self.queue.give_back(buffer);
            return Ok(place);
        }
        let index = self.layouts.fragments;
        self.layouts.fragments += 1;
        if let Some(full) = slot.replace(OpenFragment { index, buffer }) {
            self.queue.send(Load::Fragment { index: full.index }, full.buffer)?;
        }
        Ok(FragmentPlace { index, offset: 0 })
    }
}

/// A file being read, which must turn out as long as the tree says.
struct Source<'a> {
    path: &'a TreePath,
    content: &'a Content,
    reader: Box<dyn Read + Send>,
    length: u64,
    done: u64,
}

impl<'a> Source<'a> {
    fn open(path: &'a TreePath, content: &'a Content) -> Result<Self, SquashfsError> {
        let reader = content.open().map_err(|source| SquashfsError::Read { path: path.clone(), source })?;
        Ok(Self { path, content, reader, length: content.len(), done: 0 })
    }

    fn is_at_end(&self) -> bool {
        self.done == self.length
    }

    /// Reads up to a block into `buffer`, which is empty.
    fn fill(&mut self, buffer: &mut Vec<u8>, block_size: usize) -> Result<(), SquashfsError> {
        let wanted = (self.length - self.done).min(block_size as u64);
        buffer.reserve_exact(block_size);
        let found = (&mut self.reader)
            .take(wanted)
            .read_to_end(buffer)
            .map_err(|source| SquashfsError::Read { path: self.path.clone(), source })?;
        self.done += found as u64;
        if (found as u64) < wanted {
            return Err(self.resized(self.done));
        }
        Ok(())
    }

    /// The file was read to its end: did it grow meanwhile?
    fn finish(self) -> Result<(), SquashfsError> {
        let found =
            self.content.current_len().map_err(|source| SquashfsError::Read { path: self.path.clone(), source })?;
        if found == self.length { Ok(()) } else { Err(self.resized(found)) }
    }

    fn resized(&self, found: u64) -> SquashfsError {
        SquashfsError::Resized { path: self.path.clone(), expected: self.length, found }
    }
}

fn digest(path: &TreePath, content: &Content, block_size: usize) -> Result<Digest, SquashfsError> {
    let mut source = Source::open(path, content)?;
    let mut hash = Sha256::new();
    let mut buffer = Vec::new();
    while !source.is_at_end() {
        buffer.clear();
        source.fill(&mut buffer, block_size)?;
        hash.update(&buffer);
    }
    Ok(hash.finalize().into())
}

/// How files begin that are compressed already: xz, zstd, gzip, bzip2, zip, PNG, JPEG, WOFF2.
const DENSE: [&[u8]; 8] =
    [b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"BZh", b"PK\x03\x04", b"\x89PNG", b"\xff\xd8\xff", b"wOF2"];

fn is_dense(head: &[u8]) -> bool {
    DENSE.iter().any(|magic| head.starts_with(magic))
}

fn is_zero(block: &[u8]) -> bool {
    // All bytes are the first one when each equals the one before; a comparison
    // of slices is much faster than a loop over bytes.
    block.first() == Some(&0) && block[1..] == block[..block.len() - 1]
}
