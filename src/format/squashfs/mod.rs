//! A writer of squashfs 4.0 file systems.
//!
//! The image, in order: superblock, compressor options, data and fragment
//! blocks, inode table, directory table, fragment table, export table, id
//! table, xattr table. Linux checks that each table ends where the next begins.

mod ahead;
mod blocks;
mod compressor;
mod data;
mod directory;
mod error;
mod fragment;
mod ids;
mod inode;
mod metadata;
mod nodes;
mod plan;
mod superblock;
mod survey;
mod table;
mod xattr;

pub use ahead::work_ahead;
pub use blocks::{BlockCache, BlockKey, Hit, NoCache};
pub use compressor::Compression;
pub use error::SquashfsError;

use crate::progress::{Progress, Stage, Unit};
use crate::tree::Tree;
use compressor::{Compressor, Purpose};
use metadata::MetadataWriter;
use nodes::Nodes;
use std::io::{Seek, SeekFrom, Write};
use std::num::NonZero;
use superblock::Superblock;
use survey::Survey;

/// The size of an image is a multiple of this, so that a loop device and dm-verity take it.
const PADDING: u64 = 4096;

const SMALLEST_BLOCK: u32 = 128 << 10;
const LARGEST_BLOCK: u32 = 1 << 20;

/// How an image is written. The number of threads does not show in it.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The algorithm and level of data and metadata.
    pub compression: Compression,
    /// A power of two from 128 KiB to 1 MiB.
    pub block_size: u32,
    /// Compressors that work at a time; fewer are started where their memory would pass 200 MB.
    pub threads: NonZero<usize>,
    /// When the file system was made, as the superblock says: seconds since 1970.
    pub time: u32,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The size of the image, a multiple of 4096.
    pub size: u64,
    /// Inodes of the image, the root's among them.
    pub inodes: u32,
    /// Bytes of content that went in, each node's once.
    pub content: u64,
    /// Files that share the stored content of another.
    pub duplicates: u64,
    /// Blocks that hold the ends of several files.
    pub fragments: u32,
    /// Bytes of content that did not have to be compressed: their blocks were kept.
    pub reused: u64,
}

/// Writes `tree` as a squashfs image to `out`, from where it stands. What `keeper`
/// has shows in the time it takes, and not in the image.
pub fn write(
    tree: &Tree,
    options: &Options,
    keeper: &dyn BlockCache,
    out: &mut (impl Write + Seek),
    progress: &dyn Progress,
) -> Result<Summary, SquashfsError> {
    if !options.block_size.is_power_of_two() || !(SMALLEST_BLOCK..=LARGEST_BLOCK).contains(&options.block_size) {
        return Err(SquashfsError::BlockSize { found: options.block_size });
    }
    options.compression.check()?;
    let survey = Survey::new(tree, options.compression)?;
    progress.stage(Stage::Pack, survey.bytes, Unit::Bytes);

    // The superblock is written last: until then the image is none.
    let mut head = vec![0; superblock::SIZE as usize];
    let compressor_options = options.compression.options();
    head.extend(compressor_options.iter().flatten());
    let start = out.stream_position()?;
    out.write_all(&head)?;
    let data = data::pack(tree, options, keeper, head.len() as u64, out, progress)?;

    let metadata = || Compressor::new(options.compression, Purpose::Metadata);
    let mut nodes =
        Nodes::new(tree, &survey, &data, MetadataWriter::new(metadata()?), MetadataWriter::new(metadata()?));
    nodes.write()?;
    let references: Vec<u64> = nodes.references().collect();
    let (inodes, _) = nodes.inodes.finish()?;
    let (directories, _) = nodes.directories.finish()?;

    let inode_table = data.end;
    let directory_table = inode_table + inodes.len() as u64;
    let mut end = directory_table + directories.len() as u64;
    let (fragments, fragment_table) =
        table::encode(data.fragments.iter().map(|entry| entry.encode()), end, metadata()?)?;
    end += fragments.len() as u64;
    let (exports, export_table) = table::encode(references.iter().map(|place| place.to_le_bytes()), end, metadata()?)?;
    end += exports.len() as u64;
    let (ids, id_table) = table::encode(survey.ids.entries(), end, metadata()?)?;
    end += ids.len() as u64;
    let (xattrs, xattr_table) = survey.xattrs.finish(end)?.unwrap_or((Vec::new(), superblock::NO_TABLE));
    end += xattrs.len() as u64;
    for table in [inodes, directories, fragments, exports, ids, xattrs] {
        out.write_all(&table)?;
    }

    let size = end.next_multiple_of(PADDING);
    out.write_all(&vec![0; (size - end) as usize])?;
    let superblock = Superblock {
        inodes: survey.inodes,
        time: options.time,
        block_size: options.block_size,
        // The reader counted them in 32 bits.
        fragments: data.fragments.len() as u32,
        compression: options.compression,
        has_options: compressor_options.is_some(),
        ids: survey.ids.count(),
        root: references.last().copied().unwrap_or_default(),
        bytes_used: end,
        id_table,
        xattr_table,
        inode_table,
        directory_table,
        fragment_table,
        export_table,
    };
    out.seek(SeekFrom::Start(start))?;
    out.write_all(&superblock.encode())?;
    out.seek(SeekFrom::Start(start + size))?;
    out.flush()?;
    Ok(Summary {
        size,
        inodes: survey.inodes,
        content: survey.bytes,
        duplicates: data.duplicates,
        fragments: superblock.fragments,
        reused: data.reused,
    })
}
