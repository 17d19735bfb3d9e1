//! The stage that packs: from the image's tree to the root file system image.

use super::{Assembled, BuildError, BuildRequest, Resolved};
use crate::boot::initramfs::Initramfs;
use crate::boot::kernel::Kernels;
use crate::cache::BlockStore;
use crate::format::squashfs::{self, BlockCache, NoCache, Options};
use crate::format::verity::{self, ChunkDigests, VerityOptions};
use crate::output::{Image, OutputError, RootLocation};
use crate::progress::Progress;
use crate::rootfs;
use crate::tree::{Kind, Node, Tree, TreeError, TreePath};
use crate::util::file_error::FileError;
use crate::util::sha256;
use crate::util::writeback;
use appliance_contract::Sha256;
use appliance_contract::causes::WithCauses as _;
use appliance_contract::manifest::Verity;
use appliance_contract::medium::IN_IMAGE_PRUNED;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use uuid::Uuid;

/// Namespace of the version 5 UUIDs (RFC 9562, 5.5) that are derived from a build's lock; a random constant.
const NAMESPACE: Uuid = Uuid::from_u128(0x3f0e_5a0c_7d1b_4b52_9c43_2be9_1a56_d70f);

/// An assembled image with its root file system.
#[derive(Debug)]
pub struct Packed {
    pub(super) assembled: Assembled,
    /// `None`: the output contains the tree itself.
    pub(super) root: Option<PackedRoot>,
    /// `None` for a system without the agent.
    initramfs: Option<Initramfs>,
    /// The unpacked tools of the lock, if this kind of output needs them.
    pub(super) tools: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) struct PackedRoot {
    /// A file of the root alone, or the file that becomes the medium.
    pub file: PathBuf,
    /// Byte offset of the root in the file.
    pub offset: u64,
    /// Bytes, including the hash tree.
    pub size: u64,
    pub verity: Verity,
    /// Bytes before compression.
    pub content: u64,
    /// Bytes of `content` that came from the block cache.
    pub reused: u64,
}

impl Packed {
    /// The image as the output writer sees it.
    pub(super) fn image(&self) -> Image<'_> {
        Image { initramfs: self.initramfs.as_ref(), ..self.assembled.image() }
    }
}

impl Resolved {
    /// The options of the root's squashfs.
    pub(super) fn squashfs_options(&self) -> Options {
        let root = &self.request.profile.root;
        Options {
            compression: root.compression,
            block_size: root.block_size,
            // One thread if the number of cores is unknown.
            threads: thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN),
            time: u32::try_from(self.source_date).unwrap_or(0),
        }
    }
}

impl Assembled {
    /// Packs the root. In parallel makes the initramfs and unpacks the tools.
    pub fn pack(mut self, progress: &dyn Progress) -> Result<Packed, BuildError> {
        let new_blocks = self.speculative.end_blocks();
        let speculative_initramfs = self.speculative.take_initramfs();
        // The block cache is optional: without it the build only takes longer.
        let open = || BlockStore::open(&self.resolved.request.cache);
        let store =
            open().map_err(|error| progress.warn(&error.with_causes())).ok().map(|store| store.with_new(new_blocks));
        let cache: &dyn BlockCache = match &store {
            Some(store) => store,
            None => &NoCache,
        };
        let (root, initramfs, tools) = thread::scope(|scope| {
            let initramfs = scope.spawn(|| {
                // A panic of the speculative thread is ignored. The thread's blocks are in packs that the store above has
                // not read, so the store is opened again.
                let begun = speculative_initramfs.map(JoinHandle::join);
                let store = begun.and_then(|_| open().ok());
                // The speculative threads were the last readers of these directories.
                self.work.drop_children_in_background();
                let made = self.initramfs(store.as_ref().map_or(cache, |store| store), progress);
                if let Some(error) = store.as_ref().and_then(BlockStore::finish) {
                    progress.warn(&error.with_causes());
                }
                made
            });
            let BuildRequest { profile, kind, .. } = &self.resolved.request;
            let tools = scope.spawn(|| kind.needs_boot_loader().then(|| self.tools(progress)).transpose());
            let location = kind.root_location(profile);
            let root = location.map(|location| self.squashfs(location, cache, progress)).transpose();
            let initramfs = initramfs.join().unwrap_or_else(|panic| resume_unwind(panic));
            (root, initramfs, tools.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        if let Some(error) = store.as_ref().and_then(BlockStore::finish) {
            progress.warn(&error.with_causes());
        }
        let (root, initramfs, tools) = (root?, initramfs?, tools?);
        Ok(Packed { assembled: self, root, initramfs, tools })
    }

    fn tools(&self, progress: &dyn Progress) -> Result<PathBuf, BuildError> {
        Ok(rootfs::tools(&self.resolved.lock.tools, &self.files, &self.work, progress)?)
    }

    fn initramfs(&self, cache: &dyn BlockCache, progress: &dyn Progress) -> Result<Option<Initramfs>, BuildError> {
        let image = self.image();
        let Some(agent) = image.agent.filter(|_| self.resolved.request.kind.needs_initramfs()) else { return Ok(None) };
        let kernels = Kernels::find(image.tree, &image.profile.boot).map_err(OutputError::from)?;
        Ok(Some(image.initramfs(&kernels, agent, cache, progress)?))
    }

    fn squashfs(
        &self,
        location: RootLocation,
        cache: &dyn BlockCache,
        progress: &dyn Progress,
    ) -> Result<PackedRoot, BuildError> {
        let offset = (location.offset)(self.image().manifest, self.guests.len());
        let path = self.work.path().join(location.file);
        let failed = |attempt| {
            let path = path.clone();
            move |source: io::Error| BuildError::from(FileError::new(attempt, path, source))
        };
        let options = self.resolved.squashfs_options();
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).map_err(failed("making"))?;
        let (uuid, salt) = self.verity_identity();
        let verity = VerityOptions { uuid, salt: salt.as_bytes().to_vec() };
        let write = || -> Result<_, BuildError> {
            // Hashing runs while the file is written: writing keeps one core busy, and compression sometimes the
            // others.
            let (summary, hashed) = thread::scope(|scope| {
                let (sender, written) = mpsc::channel();
                let hashing = scope.spawn(|| ChunkDigests::hash_while_written(&file, offset, &verity, written));
                let write = || -> Result<_, BuildError> {
                    let mut out = BufWriter::new(NotifyingWriter { file: &file, start: offset, end: offset, sender });
                    out.seek(SeekFrom::Start(offset)).map_err(failed("writing"))?;
                    let summary = squashfs::write(&self.on_root()?, &options, cache, &mut out, progress)
                        .map_err(|source| BuildError::Squashfs { path: path.clone(), source: Box::new(source) })?;
                    out.flush().map_err(failed("writing"))?;
                    Ok(summary)
                };
                (write(), hashing.join().unwrap_or_else(|panic| resume_unwind(panic)))
            });
            let (summary, hashed) = (summary?, hashed?);
            progress.item("verity");
            Ok((summary, verity::append_with_digests(&file, offset, &verity, hashed)?))
        };
        let (written, synced) = writeback::with_background_sync(&file, write);
        let (summary, made) = written?;
        synced.map_err(failed("syncing"))?;
        let size = file.metadata().map_err(failed("reading the size of"))?.len() - offset;
        let verity = Verity {
            uuid: made.uuid.to_string(),
            salt: hex::encode(&made.salt),
            root_hash: made.root_hash,
            hash_offset: made.hash_offset,
            data_blocks: made.data_blocks,
        };
        Ok(PackedRoot { file: path, offset, size, verity, content: summary.content, reused: summary.reused })
    }

    /// The tree without `/boot`, whose files are on the medium. They are added to the list of pruned paths, so that
    /// `dpkg -V` reports nothing else.
    fn on_root(&self) -> Result<Tree, BuildError> {
        let mut tree = self.tree.clone();
        let mut gone: BTreeSet<Vec<u8>> = BTreeSet::new();
        // These are constant paths, which always parse.
        let (boot, list) = (TreePath::parse("/boot").unwrap_or_default(), IN_IMAGE_PRUNED);
        let list = TreePath::parse(list).unwrap_or_default();
        let Some(Node { kind: Kind::Directory(entries), .. }) = tree.get(&boot) else { return Ok(tree) };
        for name in entries.keys().cloned().collect::<Vec<_>>() {
            let path = boot.join(name).map_err(TreeError::from)?;
            gone.insert(path.to_bytes());
            tree.remove(&path)?;
        }
        if let Some(id) = tree.lookup(&list)
            && let Kind::File(content) = &tree.node(id).kind
        {
            let failed = |source| BuildError::from(FileError::new("reading", IN_IMAGE_PRUNED, source));
            let before = content.read().map_err(failed)?;
            gone.extend(before.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec));
            let lines: Vec<u8> = gone.iter().flat_map(|path| [path.as_slice(), b"\n"].concat()).collect();
            tree.node_mut(id).kind = Kind::File(lines.into());
        }
        Ok(tree)
    }

    /// UUID and salt, derived from the lock and the name so that builds are reproducible.
    fn verity_identity(&self) -> (Uuid, Sha256) {
        let mut name = self.resolved.lock_sha256.as_bytes().to_vec();
        name.extend(self.resolved.request.profile.name.as_bytes());
        name.extend(self.name.version.as_bytes());
        let salt = sha256::of([b"verity salt", name.as_slice()].concat());
        (Uuid::new_v5(&NAMESPACE, &name), salt)
    }
}

/// Writes to a file and sends how many bytes are written so far.
struct NotifyingWriter<'a> {
    file: &'a File,
    /// Sent positions count from this offset.
    start: u64,
    end: u64,
    sender: Sender<u64>,
}

impl Write for NotifyingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        let end = self.file.stream_position()?;
        if end > self.end {
            self.end = end;
            // A failed receiver reports its own error when it is joined.
            let _ = self.sender.send(end - self.start);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for NotifyingWriter<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
