//! The stage that packs: from the image's tree to the root file system image.

use super::{Assembled, BuildError, BuildRequest, Resolved};
use crate::boot::initramfs::Initramfs;
use crate::boot::kernel::Kernels;
use crate::cache::BlockStore;
use crate::format::squashfs::{self, BlockCache, NoCache, Options};
use crate::format::verity::{self, Hashed, VerityOptions};
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

/// Ours, drawn once: what is derived from a build's lock gets a UUID below it.
const NAMESPACE: Uuid = Uuid::from_u128(0x3f0e_5a0c_7d1b_4b52_9c43_2be9_1a56_d70f);

/// An assembled image with its root file system.
#[derive(Debug)]
pub struct Packed {
    pub(super) assembled: Assembled,
    /// `None`: the tree itself is the medium's.
    pub(super) root: Option<PackedRoot>,
    /// `None` for a system without the agent.
    initramfs: Option<Initramfs>,
    /// The lock's tools, unpacked, for a kind that needs them.
    pub(super) tools: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) struct PackedRoot {
    /// The file of the root alone, or what becomes the medium.
    pub file: PathBuf,
    /// Where in it the root begins.
    pub offset: u64,
    /// With the hash tree.
    pub size: u64,
    pub verity: Verity,
    /// Bytes before compression, and how many of them had been compressed before.
    pub content: u64,
    pub reused: u64,
}

impl Packed {
    /// What is laid out.
    pub(super) fn image(&self) -> Image<'_> {
        Image { initramfs: self.initramfs.as_ref(), ..self.assembled.image() }
    }
}

impl Resolved {
    /// How the root is packed.
    pub(super) fn squashfs_options(&self) -> Options {
        let root = &self.request.profile.root;
        Options {
            compression: root.compression,
            block_size: root.block_size,
            // One core where the machine does not tell.
            threads: thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN),
            time: u32::try_from(self.source_date).unwrap_or(0),
        }
    }
}

impl Assembled {
    /// Packs the root; makes the initramfs and has the tools at hand meanwhile.
    pub fn pack(mut self, progress: &dyn Progress) -> Result<Packed, BuildError> {
        let ahead = self.ahead.end_blocks();
        let initramfs_ahead = self.ahead.take_initramfs();
        // Without a store it takes longer, and that is all.
        let open = || BlockStore::open(&self.resolved.request.cache);
        let store = open().map_err(|error| progress.warn(&error.with_causes())).ok().map(|store| store.with_new(ahead));
        let keeper: &dyn BlockCache = match &store {
            Some(store) => store,
            None => &NoCache,
        };
        let (root, initramfs, tools) = thread::scope(|scope| {
            let initramfs = scope.spawn(|| {
                // What panicked is as good as what was never begun. It is in packs that the other store has not seen.
                let begun = initramfs_ahead.map(JoinHandle::join);
                let store = begun.and_then(|_| open().ok());
                // It was the last who read what is there.
                self.work.clear_others();
                let made = self.initramfs(store.as_ref().map_or(keeper, |store| store), progress);
                if let Some(error) = store.as_ref().and_then(BlockStore::finish) {
                    progress.warn(&error.with_causes());
                }
                made
            });
            let BuildRequest { profile, kind, .. } = &self.resolved.request;
            let tools = scope.spawn(|| kind.needs_boot_loader().then(|| self.tools(progress)).transpose());
            let location = kind.root_location(profile);
            let root = location.map(|location| self.squashfs(location, keeper, progress)).transpose();
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

    fn initramfs(&self, keeper: &dyn BlockCache, progress: &dyn Progress) -> Result<Option<Initramfs>, BuildError> {
        let image = self.image();
        let Some(agent) = image.agent.filter(|_| self.resolved.request.kind.needs_initramfs()) else { return Ok(None) };
        let kernels = Kernels::find(image.tree, &image.profile.boot).map_err(OutputError::from)?;
        Ok(Some(image.initramfs(&kernels, agent, keeper, progress)?))
    }

    fn squashfs(
        &self,
        location: RootLocation,
        keeper: &dyn BlockCache,
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
            // Writing keeps one core busy, and compressing others where there is much of it.
            let (summary, hashed) = thread::scope(|scope| {
                let (to, told) = mpsc::channel();
                let hashing = scope.spawn(|| Hashed::while_written(&file, offset, &verity, told));
                let write = || -> Result<_, BuildError> {
                    let mut out = BufWriter::new(Telling { file: &file, start: offset, end: offset, to });
                    out.seek(SeekFrom::Start(offset)).map_err(failed("writing"))?;
                    let summary = squashfs::write(&self.on_root()?, &options, keeper, &mut out, progress)
                        .map_err(|source| BuildError::Squashfs { path: path.clone(), source: Box::new(source) })?;
                    out.flush().map_err(failed("writing"))?;
                    Ok(summary)
                };
                (write(), hashing.join().unwrap_or_else(|panic| resume_unwind(panic)))
            });
            let (summary, hashed) = (summary?, hashed?);
            progress.item("verity");
            Ok((summary, verity::append_to_hashed(&file, offset, &verity, hashed)?))
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

    /// The tree without what the medium carries itself. It is listed with what
    /// pruning took away, so that `dpkg -V` reports nothing else.
    fn on_root(&self) -> Result<Tree, BuildError> {
        let mut tree = self.tree.clone();
        let mut gone: BTreeSet<Vec<u8>> = BTreeSet::new();
        // These are fixed names, which parse.
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

    /// Derived, as chance has no place in an image.
    fn verity_identity(&self) -> (Uuid, Sha256) {
        let mut name = self.resolved.lock_sha256.as_bytes().to_vec();
        name.extend(self.resolved.request.profile.name.as_bytes());
        name.extend(self.name.version.as_bytes());
        let salt = sha256::of([b"verity salt", name.as_slice()].concat());
        (Uuid::new_v5(&NAMESPACE, &name), salt)
    }
}

/// Tells how far a file is written.
struct Telling<'a> {
    file: &'a File,
    /// What is told counts from there.
    start: u64,
    end: u64,
    to: Sender<u64>,
}

impl Write for Telling<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        let end = self.file.stream_position()?;
        if end > self.end {
            self.end = end;
            // Whoever failed to hash it says so when asked.
            let _ = self.to.send(end - self.start);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Telling<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
