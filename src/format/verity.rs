//! dm-verity: a superblock and a hash tree behind an image, by which Linux
//! checks each block as it is read. Hash format 1, SHA-256, blocks of 4096
//! bytes, as `veritysetup format` makes by default
//! (kernel: Documentation/admin-guide/device-mapper/verity.rst).

use appliance_contract::Sha256;
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use uuid::Uuid;

const BLOCK: usize = 4096;
const DIGEST: usize = 32;
const DIGESTS_PER_BLOCK: u64 = (BLOCK / DIGEST) as u64;

/// What one thread reads and hashes at a time: whole blocks of digests.
const CHUNK_BLOCKS: u64 = 2 * DIGESTS_PER_BLOCK;

/// What is beside the data's own bytes in the root hash (salt) and the superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerityOptions {
    /// The superblock's UUID.
    pub uuid: Uuid,
    /// At most 256 bytes.
    pub salt: Vec<u8>,
}

/// What it takes to open the image through dm-verity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerityRoot {
    /// The digest of the tree's root block.
    pub root_hash: Sha256,
    /// Where the superblock is: the data's end.
    pub hash_offset: u64,
    /// Blocks of 4096 bytes.
    pub data_blocks: u64,
    /// What each block is hashed with.
    pub salt: Vec<u8>,
    /// The superblock's UUID.
    pub uuid: Uuid,
}

/// Why a hash tree cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum VerityError {
    /// The salt does not fit the superblock.
    #[error("a dm-verity salt of {found} bytes, at most 256 fit")]
    Salt {
        /// Its bytes.
        found: usize,
    },
    /// There is no data block.
    #[error("a dm-verity hash tree for an empty file: there is nothing to check")]
    Empty,
    /// A data block cannot be read.
    #[error("reading data block {block} for its dm-verity hash")]
    Read {
        /// Its number, from 0.
        block: u64,
        /// The system's error.
        source: io::Error,
    },
    /// The superblock or the tree cannot be written.
    #[error("writing a dm-verity hash tree at byte {position}")]
    Write {
        /// The byte, counted from the image's start.
        position: u64,
        /// The system's error.
        source: io::Error,
    },
}

/// Takes what `file` holds from byte `start` on for an image, fills it with zeros
/// to a multiple of 4096 bytes, and puts the superblock and the hash tree of all
/// that behind it. All places that are told count from `start`.
pub fn append(file: &File, start: u64, options: &VerityOptions) -> Result<VerityRoot, VerityError> {
    append_to_hashed(file, start, options, Hashed::default())
}

/// [`append`] to an image whose blocks are `hashed`, all but the first of which have not changed since.
pub fn append_to_hashed(
    file: &File,
    start: u64,
    options: &VerityOptions,
    hashed: Hashed,
) -> Result<VerityRoot, VerityError> {
    if options.salt.len() > LONGEST_SALT {
        return Err(VerityError::Salt { found: options.salt.len() });
    }
    let end = file.metadata().map_err(|source| VerityError::Read { block: 0, source })?.len();
    let size = end.saturating_sub(start);
    if size == 0 {
        return Err(VerityError::Empty);
    }
    let hash_offset = size.next_multiple_of(BLOCK as u64);
    file.set_len(start + hash_offset).map_err(|source| VerityError::Write { position: size, source })?;
    let data_blocks = hash_offset / BLOCK as u64;
    let superblock = superblock(options, data_blocks);
    let image = Image { file, start };
    image.write_at(&superblock, hash_offset)?;
    let mut tree = HashTree::new(image, &options.salt, data_blocks, hash_offset + BLOCK as u64);
    hash_data(image, &options.salt, data_blocks, &hashed, &mut tree)?;
    let root_hash = tree.finish()?;
    Ok(VerityRoot { root_hash, hash_offset, data_blocks, salt: options.salt.clone(), uuid: options.uuid })
}

/// `struct verity_sb` of cryptsetup's lib/verity/verity.c has room for so much.
const LONGEST_SALT: usize = 256;

fn superblock(options: &VerityOptions, data_blocks: u64) -> Vec<u8> {
    let mut out = b"verity\0\0".to_vec();
    let (version, hash_type) = (1_u32, 1_u32);
    out.extend(version.to_le_bytes());
    out.extend(hash_type.to_le_bytes());
    out.extend(options.uuid.as_bytes());
    let mut algorithm = [0; 32];
    algorithm[..6].copy_from_slice(b"sha256");
    out.extend(algorithm);
    out.extend((BLOCK as u32).to_le_bytes());
    out.extend((BLOCK as u32).to_le_bytes());
    out.extend(data_blocks.to_le_bytes());
    out.extend((options.salt.len() as u16).to_le_bytes());
    out.extend([0; 6]);
    out.extend(&options.salt);
    // The rest of the salt's room, of the superblock, and of the block that holds it.
    out.resize(BLOCK, 0);
    out
}

/// What lies in `file` from byte `start` on.
#[derive(Clone, Copy)]
struct Image<'a> {
    file: &'a File,
    start: u64,
}

impl Image<'_> {
    fn write_at(self, bytes: &[u8], position: u64) -> Result<(), VerityError> {
        let write = self.file.write_all_at(bytes, self.start + position);
        write.map_err(|source| VerityError::Write { position, source })
    }

    fn read_blocks(self, first: u64, bytes: &mut [u8]) -> Result<(), VerityError> {
        let read = self.file.read_exact_at(bytes, self.start + first * BLOCK as u64);
        read.map_err(|source| VerityError::Read { block: first, source })
    }
}

fn hash(salt: &[u8], block: &[u8]) -> [u8; DIGEST] {
    sha2::Sha256::new().chain_update(salt).chain_update(block).finalize().into()
}

/// The digests of an image's first chunks.
#[derive(Debug, Default)]
pub struct Hashed {
    chunks: Vec<Vec<[u8; DIGEST]>>,
}

impl Hashed {
    /// Hashes what `file` holds from byte `start` on while it is written there: up to each of the ends that
    /// `written` tells, which count from `start`.
    pub fn while_written(
        file: &File,
        start: u64,
        options: &VerityOptions,
        written: Receiver<u64>,
    ) -> Result<Self, VerityError> {
        let (image, mut chunks) = (Image { file, start }, Vec::new());
        for end in written {
            let whole = end / (CHUNK_BLOCKS * BLOCK as u64);
            while (chunks.len() as u64) < whole {
                chunks.push(hash_chunk(image, &options.salt, u64::MAX, chunks.len() as u64)?);
            }
        }
        Ok(Self { chunks })
    }

    /// What is still true of a chunk once the image is whole: it begins with a superblock, which is written last.
    fn chunk(&self, index: u64) -> Option<&Vec<[u8; DIGEST]>> {
        self.chunks.get(usize::try_from(index).ok().filter(|&index| index > 0)?)
    }
}

/// Hashes the data on all cores, and gives the digests to `tree` in the data's order.
fn hash_data(
    image: Image<'_>,
    salt: &[u8],
    data_blocks: u64,
    hashed: &Hashed,
    tree: &mut HashTree,
) -> Result<(), VerityError> {
    let chunks = data_blocks.div_ceil(CHUNK_BLOCKS);
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64).min(chunks);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        // Workers wait while the tree is behind.
        let (results_in, results) = mpsc::sync_channel(4);
        for _ in 0..threads {
            let (next, results) = (&next, results_in.clone());
            scope.spawn(move || {
                loop {
                    let chunk = next.fetch_add(1, Ordering::Relaxed);
                    if chunk >= chunks {
                        return;
                    }
                    let digests = match hashed.chunk(chunk) {
                        Some(digests) => Ok(digests.clone()),
                        None => hash_chunk(image, salt, data_blocks, chunk),
                    };
                    if results.send((chunk, digests)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results_in);
        let mut early = BTreeMap::new();
        let mut turn = 0;
        for (chunk, digests) in results {
            early.insert(chunk, digests?);
            while let Some(digests) = early.remove(&turn) {
                for digest in digests {
                    tree.push(&digest)?;
                }
                turn += 1;
            }
        }
        Ok(())
    })
}

fn hash_chunk(image: Image<'_>, salt: &[u8], data_blocks: u64, chunk: u64) -> Result<Vec<[u8; DIGEST]>, VerityError> {
    let first = chunk * CHUNK_BLOCKS;
    let blocks = CHUNK_BLOCKS.min(data_blocks - first) as usize;
    let mut bytes = vec![0; blocks * BLOCK];
    image.read_blocks(first, &mut bytes)?;
    Ok(bytes.chunks(BLOCK).map(|block| hash(salt, block)).collect())
}

/// The tree while it grows: of each level only the block that is being filled.
struct HashTree<'a> {
    image: Image<'a>,
    salt: &'a [u8],
    /// The level of the data's digests first; the root's last.
    levels: Vec<Level>,
    root_hash: [u8; DIGEST],
}

struct Level {
    /// Where the next block of it goes.
    position: u64,
    pending: Vec<u8>,
}

impl<'a> HashTree<'a> {
    fn new(image: Image<'a>, salt: &'a [u8], data_blocks: u64, start: u64) -> Self {
        let mut sizes = Vec::new();
        let mut blocks = data_blocks;
        while blocks > 1 {
            blocks = blocks.div_ceil(DIGESTS_PER_BLOCK);
            sizes.push(blocks);
        }
        // On disk the root's level comes first.
        let mut position = start;
        let mut levels = Vec::new();
        for blocks in sizes.into_iter().rev() {
            levels.push(Level { position, pending: Vec::with_capacity(BLOCK) });
            position += blocks * BLOCK as u64;
        }
        levels.reverse();
        Self { image, salt, levels, root_hash: [0; DIGEST] }
    }

    fn push(&mut self, digest: &[u8; DIGEST]) -> Result<(), VerityError> {
        self.push_to(0, digest)
    }

    fn push_to(&mut self, level: usize, digest: &[u8; DIGEST]) -> Result<(), VerityError> {
        let Some(at) = self.levels.get_mut(level) else {
            self.root_hash = *digest;
            return Ok(());
        };
        at.pending.extend_from_slice(digest);
        if at.pending.len() == BLOCK { self.flush(level) } else { Ok(()) }
    }

    fn flush(&mut self, level: usize) -> Result<(), VerityError> {
        let at = &mut self.levels[level];
        at.pending.resize(BLOCK, 0);
        self.image.write_at(&at.pending, at.position)?;
        at.position += BLOCK as u64;
        let digest = hash(self.salt, &at.pending);
        at.pending.clear();
        self.push_to(level + 1, &digest)
    }

    fn finish(mut self) -> Result<Sha256, VerityError> {
        for level in 0..self.levels.len() {
            if !self.levels[level].pending.is_empty() {
                self.flush(level)?;
            }
        }
        Ok(self.root_hash.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Seek as _, Write as _};

    fn options(salt: &[u8]) -> VerityOptions {
        VerityOptions { uuid: Uuid::from_bytes([7; 16]), salt: salt.to_vec() }
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("making a file for a test");
        file.write_all(bytes).expect("filling it");
        file
    }

    #[test]
    fn one_block_s_hash_is_the_root() {
        let root = append(&file(b"x"), 0, &options(b"salt")).expect("appending");
        let mut block = b"salt".to_vec();
        block.push(b'x');
        block.resize(4 + BLOCK, 0);
        assert_eq!(root.root_hash, crate::util::sha256::of(&block));
        assert_eq!((root.hash_offset, root.data_blocks), (4096, 1));
    }

    #[test]
    fn the_tree_s_size() {
        for (blocks, tree_blocks) in [(1, 0), (2, 1), (128, 1), (129, 3), (128 * 128, 129), (128 * 128 + 1, 132)] {
            let file = file(&[]);
            file.set_len(blocks * BLOCK as u64).expect("growing a file");
            let root = append(&file, 0, &options(b"")).expect("appending");
            let size = file.metadata().expect("asking for its size").len();
            assert_eq!(size, root.hash_offset + (1 + tree_blocks) * BLOCK as u64, "{blocks} data blocks");
        }
    }

    #[test]
    fn an_image_further_on_in_a_file_gets_the_same_tree() {
        let image = vec![3; 300 * BLOCK + 5];
        let alone = file(&image);
        let within = file(&[vec![9; 5000], image].concat());
        let expected = append(&alone, 0, &options(b"salt")).expect("appending");
        assert_eq!(append(&within, 5000, &options(b"salt")).expect("appending"), expected);
        let [alone, within] = [alone, within].map(|mut file| {
            let mut bytes = Vec::new();
            file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("reading");
            bytes
        });
        assert_eq!(within[..5000], [9; 5000]);
        assert!(within[5000..] == alone);
        assert!(matches!(append(&file(b"x"), 1, &options(b"")), Err(VerityError::Empty)));
    }

    #[test]
    fn an_image_hashed_while_it_is_written_gets_the_same_tree() {
        const CHUNK: usize = CHUNK_BLOCKS as usize * BLOCK;
        let blocks = |from: usize, to: usize| -> Vec<u8> { (from..to).map(|place| (place % 251) as u8).collect() };
        for size in [BLOCK, CHUNK - 1, CHUNK, 2 * CHUNK, 3 * CHUNK + 7] {
            let image = blocks(0, size);
            let expected = append(&file(&image), 0, &options(b"salt")).expect("appending");
            let within = file(&[0; 100]);
            let (to, told) = mpsc::channel();
            let hashed = std::thread::scope(|scope| {
                let hashing = scope.spawn(|| Hashed::while_written(&within, 100, &options(b"salt"), told));
                // The first block is written last.
                let mut draft = image.clone();
                draft[..96.min(size)].fill(0);
                for (number, piece) in draft.chunks(CHUNK / 3).enumerate() {
                    let at = (number * (CHUNK / 3)) as u64;
                    within.write_all_at(piece, 100 + at).expect("writing");
                    to.send(at + piece.len() as u64).expect("telling");
                }
                drop(to);
                hashing.join().expect("no panic").expect("hashing")
            });
            assert_eq!(hashed.chunks.len(), size / CHUNK);
            within.write_all_at(&image[..96.min(size)], 100).expect("writing");
            assert_eq!(append_to_hashed(&within, 100, &options(b"salt"), hashed).expect("appending"), expected);
        }
    }

    #[test]
    fn refuses_no_data_and_too_long_a_salt() {
        assert!(matches!(append(&file(b""), 0, &options(b"")), Err(VerityError::Empty)));
        let salt = [1; 257];
        assert!(matches!(append(&file(b"x"), 0, &options(&salt)), Err(VerityError::Salt { found: 257 })));
    }
}
