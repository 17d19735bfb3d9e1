//! Decompression by what the data begins with, with bounds on memory.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

/// How a stream was compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

/// Preset 9 of xz needs 65 MiB to decompress; more is a bomb or a mistake.
const XZ_MEMORY: u64 = 256 << 20;
/// 128 MiB: what zstd's own tool accepts without being told.
const ZSTD_WINDOW_LOG: u32 = 27;
const BUFFER: usize = 1 << 17;

#[derive(Debug, thiserror::Error)]
pub enum CompressionError {
    #[error("found {found} data, expected gzip, xz, zstd or none of them")]
    Unsupported { found: &'static str },
    #[error("reading the start")]
    Read(#[from] io::Error),
}

impl Compression {
    /// By the first bytes of a stream (RFC 1952, xz-file-format 2.1.1.1, RFC 8878 3.1.1).
    fn detect(start: &[u8]) -> Result<Self, CompressionError> {
        Ok(match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => return Err(CompressionError::Unsupported { found: "bzip2" }),
            [0x5d, 0, 0, ..] => return Err(CompressionError::Unsupported { found: "lzma" }),
            [0x1f, 0x9d, ..] => return Err(CompressionError::Unsupported { found: "compress (.Z)" }),
            _ => Self::None,
        })
    }

    /// The ending of a file's name, with its dot; nothing for plain data.
    pub fn ending(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        })
    }
}

/// The data of `reader`, decompressed; members that follow each other are one stream.
pub fn decompress<'a>(
    reader: impl Read + Send + 'a,
) -> Result<(Compression, Box<dyn Read + Send + 'a>), CompressionError> {
    start(reader, liblzma::stream::CONCATENATED)
}

/// [`decompress`], for data whose SHA-256 was found right: xz's own check sums,
/// which take a tenth as long again, are passed over.
pub fn decompress_verified<'a>(
    reader: impl Read + Send + 'a,
) -> Result<(Compression, Box<dyn Read + Send + 'a>), CompressionError> {
    start(reader, liblzma::stream::CONCATENATED | liblzma::stream::IGNORE_CHECK)
}

fn start<'a>(
    reader: impl Read + Send + 'a,
    xz_flags: u32,
) -> Result<(Compression, Box<dyn Read + Send + 'a>), CompressionError> {
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    let mut start = [0; 6];
    let mut length = 0;
    // A reader may give less than six bytes at a time.
    while length < start.len() {
        match reader.read(&mut start[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let compression = Compression::detect(&start[..length])?;
    let whole = BufReader::with_capacity(BUFFER, io::Cursor::new(start).take(length as u64).chain(reader));
    Ok((compression, open(compression, whole, xz_flags)?))
}

fn open<'a>(
    compression: Compression,
    reader: impl BufRead + Send + 'a,
    xz_flags: u32,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(reader),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Compression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, xz_flags)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(reader, stream))
        }
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(reader)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Write;

    pub(crate) fn compress(compression: Compression, data: &[u8]) -> Vec<u8> {
        match compression {
            Compression::None => data.to_vec(),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
                encoder.write_all(data).expect("into memory");
                encoder.finish().expect("into memory")
            }
            Compression::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(vec![], 0);
                encoder.write_all(data).expect("into memory");
                encoder.finish().expect("into memory")
            }
            Compression::Zstd => zstd::encode_all(data, 1).expect("into memory"),
        }
    }

    pub(crate) const ALL: [Compression; 4] = [Compression::None, Compression::Gzip, Compression::Xz, Compression::Zstd];

    fn read(data: &[u8]) -> Result<(Compression, Vec<u8>), CompressionError> {
        let (compression, mut reader) = decompress(data)?;
        let mut out = vec![];
        reader.read_to_end(&mut out)?;
        Ok((compression, out))
    }

    #[test]
    fn finds_each_kind_by_its_start() {
        let data = b"data ".repeat(1000);
        for kind in ALL {
            assert_eq!(read(&compress(kind, &data)).expect("readable"), (kind, data.clone()));
        }
        for kind in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let twice = compress(kind, &data).repeat(2);
            assert_eq!(read(&twice).expect("two members").1, data.repeat(2), "{kind}");
        }
        assert_eq!(read(b"").expect("nothing"), (Compression::None, vec![]));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let data: Vec<u8> = (0..3000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for kind in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let whole = compress(kind, &data);
            for length in (6..whole.len()).step_by(7) {
                assert!(read(&whole[..length]).is_err(), "{kind} cut to {length} of {}", whole.len());
            }
        }
    }

    #[test]
    fn only_verified_data_goes_without_check_sums() {
        let data = b"data ".repeat(1000);
        let mut packed = compress(Compression::Xz, &data);
        // The block's check stands before the index, whose size the footer has (xz-file-format 2.1.2.2).
        let footer = packed.len() - 12;
        let index = 4 * (u32::from_le_bytes(packed[footer + 4..][..4].try_into().expect("four bytes")) as usize + 1);
        packed[footer - index - 1] ^= 1;
        assert!(read(&packed).is_err());
        let mut found = vec![];
        decompress_verified(&packed[..]).expect("readable").1.read_to_end(&mut found).expect("readable");
        assert_eq!(found, data);
        for length in (6..packed.len()).step_by(7) {
            let cut =
                decompress_verified(&packed[..length]).and_then(|(_, mut reader)| Ok(reader.read_to_end(&mut vec![])?));
            assert!(cut.is_err(), "cut to {length} of {}", packed.len());
        }
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        let error = read(b"BZh91AY&SY").expect_err("bzip2").to_string();
        assert_eq!(error, "found bzip2 data, expected gzip, xz, zstd or none of them");
    }

    #[test]
    fn a_window_beyond_the_bound_is_refused() {
        // A frame header that asks for a window of 2 GiB (RFC 8878 3.1.1.1.2: exponent 21, mantissa 0).
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00];
        assert!(read(&frame).is_err());
    }
}
