//! Decompresses package indices.

use crate::packages::archive::release::FileEntry;
use crate::packages::error::IndexError;
use std::io::{self, BufRead, Read};

/// The memory limit of the xz decoder. The largest preset of xz needs 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;

/// The largest window of a zstd stream, as a power of two: the limit of `zstd` without a flag.
const ZSTD_WINDOW: u32 = 27;

/// The size limit of an index whose plain size Release does not list. Debian's largest has 60 MB.
const LARGEST_INDEX: u64 = 1 << 30;

/// How an index is compressed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    Xz,
    Zstd,
    Lzma,
    Gzip,
    Plain,
}

/// The forms with their suffixes, smallest first. apt also reads .bz2 and .lz4, but no archive offers only these.
pub(super) const FORMS: [(Form, &str); 5] =
    [(Form::Xz, ".xz"), (Form::Zstd, ".zst"), (Form::Lzma, ".lzma"), (Form::Gzip, ".gz"), (Form::Plain, "")];

/// Decompresses an index. Returns at most as many bytes as Release lists, whatever the file would decompress to.
/// `plain` is Release's entry for the plain text. It may be missing, because the compressed file was verified.
pub(super) fn decompress(file: Box<dyn BufRead>, form: Form, plain: Option<FileEntry>) -> Result<Vec<u8>, IndexError> {
    use liblzma::stream::{CONCATENATED, Stream};
    let corrupt = |source: io::Error| IndexError::Corrupt { source };
    let reader: Box<dyn Read> = match form {
        Form::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED).map_err(|error| corrupt(error.into()))?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream))
        }
        Form::Lzma => {
            let stream = Stream::new_lzma_decoder(XZ_MEMORY).map_err(|error| corrupt(error.into()))?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream))
        }
        Form::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(file).map_err(corrupt)?;
            decoder.window_log_max(ZSTD_WINDOW).map_err(corrupt)?;
            Box::new(decoder)
        }
        Form::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Form::Plain => Box::new(file),
    };
    let most = plain.map_or(LARGEST_INDEX, |plain| plain.size);
    let mut text = Vec::new();
    reader.take(most.saturating_add(1)).read_to_end(&mut text).map_err(corrupt)?;
    let found = text.len() as u64;
    let Some(plain) = plain else {
        return if found > most { Err(IndexError::Endless { most }) } else { Ok(text) };
    };
    if found > most {
        return Err(IndexError::TooLarge { expected: most });
    }
    if found != plain.size || !plain.hash.matches(&text) {
        let expected = format!("{} bytes, {}", plain.size, plain.hash);
        return Err(IndexError::Plain { expected, found: format!("{found} bytes, {}", plain.hash.same_of(&text)) });
    }
    Ok(text)
}
