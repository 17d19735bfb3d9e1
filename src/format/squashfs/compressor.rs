//! Compressors, and the block with their options that follows the superblock.

use super::{SquashfsError, metadata};

/// How data, inodes, fragments and xattrs are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// zlib.
    Gzip {
        /// 1 to 9.
        level: u32,
    },
    /// xz.
    Xz {
        /// The preset, 0 to 9.
        level: u32,
    },
    /// Zstandard.
    Zstd {
        /// 1 to 22.
        level: i32,
    },
}

/// What a reader takes for granted where there is no options block.
const DEFAULT_GZIP_LEVEL: u32 = 9;
const DEFAULT_ZSTD_LEVEL: i32 = 15;
const GZIP_WINDOW: u16 = 15;

impl Compression {
    /// The number in the superblock.
    pub(super) fn id(self) -> u16 {
        match self {
            Self::Gzip { .. } => 1,
            Self::Xz { .. } => 4,
            Self::Zstd { .. } => 6,
        }
    }

    /// Refuses levels that the algorithm does not have.
    pub(super) fn check(self) -> Result<(), SquashfsError> {
        let (algorithm, found, least, most) = match self {
            Self::Gzip { level } => ("gzip", i64::from(level), 1, 9),
            Self::Xz { level } => ("xz", i64::from(level), 0, 9),
            Self::Zstd { level } => ("zstd", i64::from(level), 1, 22),
        };
        if (least..=most).contains(&found) {
            Ok(())
        } else {
            Err(SquashfsError::Level { algorithm, found, least, most })
        }
    }

    /// The options block; `None` where they are what a reader takes for granted.
    /// Of xz it needs to know the dictionary, which is always the block's size, the default.
    pub(super) fn options(self) -> Option<Vec<u8>> {
        match self {
            Self::Gzip { level } if level != DEFAULT_GZIP_LEVEL => {
                let mut options = level.to_le_bytes().to_vec();
                options.extend(GZIP_WINDOW.to_le_bytes());
                // No strategy was tried but the default one, which is said by none.
                options.extend(0_u16.to_le_bytes());
                Some(metadata::stored(&options))
            }
            Self::Zstd { level } if level != DEFAULT_ZSTD_LEVEL => Some(metadata::stored(&level.to_le_bytes())),
            _ => None,
        }
    }
}

/// What a [`Compressor`] is for: it need hold no more than its largest input.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Metadata,
    /// Data and fragments of the block size.
    Data(u32),
}

/// Compresses one block after the other, keeping what can be kept between them.
pub(super) struct Compressor {
    engine: Engine,
}

enum Engine {
    Gzip(flate2::Compress),
    Xz { level: u32, dictionary: u32 },
    Zstd(Zstd),
}

struct Zstd {
    compressor: zstd::bulk::Compressor<'static>,
    /// Tells at little cost that a block is not worth the full effort.
    probe: Option<zstd::bulk::Compressor<'static>>,
}

/// Tables are a four-hundredth of an image, and one core makes them while all others wait: levels above this one
/// take four times as long for a hundredth of them.
const HIGHEST_OF_METADATA: i32 = 8;

/// Below this level the probe would cost more than it saves.
const PROBED_FROM: i32 = 6;
const PROBE_LEVEL: i32 = 1;

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.engine {
            Engine::Gzip(_) => "Compressor(gzip)",
            Engine::Xz { .. } => "Compressor(xz)",
            Engine::Zstd(_) => "Compressor(zstd)",
        })
    }
}

impl Compressor {
    pub fn new(compression: Compression, purpose: Purpose) -> Result<Self, SquashfsError> {
        let failed = |error: std::io::Error| SquashfsError::Compress { length: 0, message: error.to_string() };
        let engine = match compression {
            Compression::Gzip { level } => Engine::Gzip(flate2::Compress::new(flate2::Compression::new(level), true)),
            Compression::Xz { level } => {
                let dictionary = match purpose {
                    Purpose::Metadata => metadata::BLOCK as u32,
                    Purpose::Data(block_size) => block_size,
                };
                Engine::Xz { level, dictionary }
            }
            Compression::Zstd { level } => {
                let (level, probed) = match purpose {
                    Purpose::Metadata => (level.min(HIGHEST_OF_METADATA), false),
                    Purpose::Data(_) => (level, level >= PROBED_FROM),
                };
                Engine::Zstd(Zstd {
                    compressor: zstd::bulk::Compressor::new(level).map_err(failed)?,
                    probe: probed.then(|| zstd::bulk::Compressor::new(PROBE_LEVEL)).transpose().map_err(failed)?,
                })
            }
        };
        Ok(Self { engine })
    }

    /// Fills `output` with the compressed form of `input`; false where that is
    /// not smaller, and `input` should be stored as it is.
    pub fn compress(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<bool, SquashfsError> {
        output.clear();
        let packed = match &mut self.engine {
            Engine::Gzip(engine) => gzip(engine, input, output),
            Engine::Xz { level, dictionary } => xz(*level, *dictionary, input, output),
            Engine::Zstd(engine) => engine.compress(input, output),
        };
        packed.map_err(|message| SquashfsError::Compress { length: input.len(), message })?;
        Ok(!output.is_empty() && output.len() < input.len())
    }
}

impl Zstd {
    fn compress(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<(), String> {
        output.reserve(zstd::zstd_safe::compress_bound(input.len()));
        if let Some(probe) = self.probe.as_mut().filter(|_| may_be_dense(input)) {
            let length = probe.compress_to_buffer(input, output).map_err(|error| error.to_string())?;
            // What is compressed already (kernel modules, for one) stays as it is.
            if length >= input.len() - input.len() / 256 {
                output.clear();
                return Ok(());
            }
            output.clear();
        }
        self.compressor.compress_to_buffer(input, output).map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// Whether it is worth asking the probe: what is compressed already has all bytes
/// equally often, and most of what is not is far from that.
fn may_be_dense(input: &[u8]) -> bool {
    /// One byte in so many is looked at.
    const EVERY: usize = 31;
    let mut counts = [0_u64; 256];
    input.iter().step_by(EVERY).for_each(|&byte| counts[usize::from(byte)] += 1);
    let taken: u64 = counts.iter().sum();
    // The chance that two of them are the same byte is 1 in 256 for noise, and larger for all else.
    let pairs: u64 = counts.iter().map(|&count| count * count.saturating_sub(1)).sum();
    pairs * 256 <= 2 * taken * taken.saturating_sub(1)
}

/// Leaves `output` empty where it would not be smaller than `input`.
fn gzip(engine: &mut flate2::Compress, input: &[u8], output: &mut Vec<u8>) -> Result<(), String> {
    engine.reset();
    output.reserve(input.len());
    let status =
        engine.compress_vec(input, output, flate2::FlushCompress::Finish).map_err(|error| error.to_string())?;
    if status != flate2::Status::StreamEnd {
        output.clear();
    }
    Ok(())
}

/// One stream with a CRC32, the only check that Linux's decoder knows.
fn xz(level: u32, dictionary: u32, input: &[u8], output: &mut Vec<u8>) -> Result<(), String> {
    use liblzma::stream::{Action, Check, Filters, LzmaOptions, Status, Stream};
    let failed = |error: liblzma::stream::Error| error.to_string();
    let mut options = LzmaOptions::new_preset(level).map_err(failed)?;
    options.dict_size(dictionary);
    let mut filters = Filters::new();
    filters.lzma2(&options);
    let mut stream = Stream::new_stream_encoder(&filters, Check::Crc32).map_err(failed)?;
    output.reserve(input.len());
    let status = stream.process_vec(input, output, Action::Finish).map_err(failed)?;
    if status != Status::StreamEnd {
        output.clear();
    }
    Ok(())
}
