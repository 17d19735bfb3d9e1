//! Reads `.deb` files (deb(5)): ar archives of `debian-binary`, `control.tar` and `data.tar`.

use super::lock::LockedPackage;
use crate::format::compression::{Compression, CompressionError, decompress_verified};
use crate::format::tar::{self, EntryKind, Limits, TarError};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A package file. Opening it checks the whole ar frame; the caller has already verified its hash.
#[derive(Debug)]
pub struct Deb {
    path: PathBuf,
    control: Member,
    data: Member,
}

#[derive(Debug, Clone)]
struct Member {
    name: String,
    offset: u64,
    length: u64,
}

/// A maintainer script, a list, or the control file itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlFile {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: u16,
}

/// A package file that is refused.
#[derive(Debug, thiserror::Error)]
#[error("reading package {}", path.display())]
pub struct DebError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: DebProblem,
}

/// What is wrong with a package file.
#[derive(Debug, thiserror::Error)]
pub enum DebProblem {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not an ar archive.
    #[error("found no ar archive, expected \"!<arch>\" at the start")]
    NotAr,
    /// It ends too early.
    #[error("the file ends at byte {found}, expected {expected}")]
    Truncated {
        /// Its bytes.
        found: u64,
        /// What was expected next.
        expected: String,
    },
    /// A member's header is damaged (ar(5)).
    #[error("the member header at byte {offset} is damaged: {field} is {found:?}")]
    Header {
        /// Offset of the header.
        offset: u64,
        /// The header's field.
        field: &'static str,
        /// The field's text.
        found: String,
    },
    /// A member is not allowed at this position (deb(5)).
    #[error("found member {found:?} at byte {offset}, expected {expected}")]
    Order {
        /// Offset of its header.
        offset: u64,
        /// The member's name.
        found: String,
        /// The members that are allowed there.
        expected: &'static str,
    },
    /// `debian-binary` names another format.
    #[error("found format version {found:?}, expected 2.x")]
    Version {
        /// The version.
        found: String,
    },
    /// A member cannot be decompressed.
    #[error("{member}")]
    Compression {
        /// The member's name.
        member: String,
        /// The decompressor's error.
        source: CompressionError,
    },
    /// A member's compression differs from its name's suffix.
    #[error("{member}: found {found} data, expected what the member's name says")]
    OtherCompression {
        /// The member's name.
        member: String,
        /// How it is compressed.
        found: Compression,
    },
    /// A member cannot be read as a tar archive.
    #[error("{member}")]
    Tar {
        /// The member's name.
        member: String,
        /// The reader's error.
        source: TarError,
    },
    /// `control.tar` contains something other than regular files.
    #[error("control.tar: found {found}, expected plain files in one folder")]
    ControlEntry {
        /// What it is.
        found: String,
    },
    /// `control.tar` has no control file.
    #[error("control.tar: found no file named control")]
    NoControl,
    /// The control file does not match the locked package.
    #[error("its control file has {field} {found:?}, expected {expected:?}")]
    Field {
        /// The field that differs.
        field: &'static str,
        /// Its value.
        found: String,
        /// The lock's value.
        expected: String,
    },
}

/// Debian's largest control archive has about 1 MB.
const CONTROL: Limits = Limits { entries: 1000, file: 32 << 20, total: 64 << 20, extension: 1 << 16 };

/// A member may decompress to this many bytes or to `LARGEST_RATIO` times its compressed size, whichever is more. Real
/// packages reach a tenth of that ratio; xz can reach 7000, and zstd more.
const LEAST_BOUND: u64 = 256 << 20;
const LARGEST_RATIO: u64 = 1000;

impl Deb {
    /// Reads the ar frame. Checks that the members are in the order of deb(5) and that their sizes add up to the
    /// file's.
    pub fn open(path: &Path) -> Result<Self, DebError> {
        let located = |source: DebProblem| DebError { path: path.to_owned(), source };
        let open = || -> Result<Self, DebProblem> {
            let mut file = File::open(path)?;
            let length = file.metadata()?.len();
            let (control, data) = Frame { file: &mut file, length, position: 0 }.read()?;
            Ok(Self { path: path.to_owned(), control, data })
        };
        open().map_err(located)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files of `control.tar` by name: `control`, `postinst`, `conffiles` …
    pub fn control(&self) -> Result<BTreeMap<String, ControlFile>, DebError> {
        let mut files = BTreeMap::new();
        let reader = self.reader(&self.control)?;
        let read = tar::entries(reader, CONTROL, |entry| {
            let odd = || DebProblem::ControlEntry { found: entry.path.to_string() };
            match entry.kind {
                EntryKind::Directory if entry.path.is_root() => Ok(()),
                EntryKind::File { content, .. } => {
                    let name = entry.path.name().and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(odd)?;
                    if entry.path.names().count() != 1 {
                        return Err(odd());
                    }
                    let mut bytes = vec![];
                    content.read_to_end(&mut bytes)?;
                    files.insert(name.to_owned(), ControlFile { bytes, mode: entry.metadata.mode });
                    Ok(())
                }
                _ => Err(odd()),
            }
        });
        read.map_err(|problem| self.located(problem.in_member(&self.control.name)))?;
        if !files.contains_key("control") {
            return Err(self.located(DebProblem::NoControl));
        }
        Ok(files)
    }

    /// The tar archive of the package's files, decompressed as it is read.
    pub fn data(&self) -> Result<Box<dyn Read + Send>, DebError> {
        self.reader(&self.data)
    }

    /// Checks that the control file describes the locked package.
    pub fn check(&self, control: &ControlFile, locked: &LockedPackage) -> Result<(), DebError> {
        let text = String::from_utf8_lossy(&control.bytes);
        for (field, expected) in
            [("Package", &locked.name), ("Version", &locked.version), ("Architecture", &locked.architecture)]
        {
            let found = field_of(&text, field).unwrap_or_default();
            if found != expected {
                let problem = DebProblem::Field { field, found: found.to_owned(), expected: expected.clone() };
                return Err(self.located(problem));
            }
        }
        Ok(())
    }

    /// The package's paragraph as in an archive's `Packages` file, followed by an empty line. `locked` gives its path
    /// in the archive.
    pub fn paragraph(&self, locked: &LockedPackage) -> Result<String, DebError> {
        let control = self.control()?.remove("control").ok_or_else(|| self.located(DebProblem::NoControl))?;
        self.check(&control, locked)?;
        let mut text: String = String::from_utf8_lossy(&control.bytes)
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| format!("{line}\n"))
            .collect();
        let LockedPackage { path, size, sha256, .. } = locked;
        text.push_str(&format!("Filename: {path}\nSize: {size}\nSHA256: {sha256}\n\n"));
        Ok(text)
    }

    fn reader(&self, member: &Member) -> Result<Box<dyn Read + Send>, DebError> {
        let open = || -> Result<_, DebProblem> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(member.offset))?;
            let part = Part { file, left: member.length };
            let (compression, reader) = decompress_verified(part)
                .map_err(|source| DebProblem::Compression { member: member.name.clone(), source })?;
            if !member.name.ends_with(&format!(".tar{}", compression.suffix())) {
                return Err(DebProblem::OtherCompression { member: member.name.clone(), found: compression });
            }
            let most = LEAST_BOUND.max(member.length.saturating_mul(LARGEST_RATIO));
            Ok(Box::new(Bounded { reader, most, left: most }) as Box<dyn Read + Send>)
        };
        open().map_err(|problem| self.located(problem))
    }

    fn located(&self, source: DebProblem) -> DebError {
        DebError { path: self.path.clone(), source }
    }
}

impl From<TarError> for DebProblem {
    fn from(source: TarError) -> Self {
        Self::Tar { member: String::new(), source }
    }
}

impl DebProblem {
    fn in_member(self, name: &str) -> Self {
        match self {
            Self::Tar { source, .. } => Self::Tar { member: name.to_owned(), source },
            other => other,
        }
    }
}

/// The value of a single-line field.
fn field_of<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(field).then_some(value.trim())
    })
}

/// A member's bytes. A file that was truncated meanwhile gives an error instead of end of file.
struct Part {
    file: File,
    left: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.file.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the file became shorter while it was read"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// A member's decompressed bytes. Exceeding the limit gives an error instead of end of file.
struct Bounded {
    reader: Box<dyn Read + Send>,
    most: u64,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(format!("it decompresses to more than {} bytes", self.most))),
        }
        Ok(count)
    }
}

/// Iterates over the members' headers.
struct Frame<'f> {
    file: &'f mut File,
    length: u64,
    position: u64,
}

impl Frame<'_> {
    fn read(mut self) -> Result<(Member, Member), DebProblem> {
        let magic: [u8; 8] = self.bytes(self.length.min(8), "an ar archive")?.try_into().unwrap_or_default();
        if &magic != b"!<arch>\n" {
            return Err(DebProblem::NotAr);
        }
        let version = self.expect("debian-binary", |name| name == "debian-binary")?;
        // deb(5): a later minor version may add lines after the version.
        let text = self.bytes_of(&version, 64)?;
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if !line.starts_with(b"2.") || !text.contains(&b'\n') {
            return Err(DebProblem::Version { found: String::from_utf8_lossy(line).into_owned() });
        }
        let control = self.expect("control.tar, plain or .gz, .xz, .zst", |name| is_tar(name, "control"))?;
        self.skip(&control)?;
        let data = self.expect("data.tar, plain or .gz, .xz, .zst", |name| is_tar(name, "data"))?;
        self.skip(&data)?;
        while self.position < self.length {
            let extra = self.header("the end of the file")?;
            if !extra.name.starts_with('_') {
                let offset = extra.offset - HEADER;
                return Err(DebProblem::Order { offset, found: extra.name, expected: "the end of the file" });
            }
            self.skip(&extra)?;
        }
        Ok((control, data))
    }

    /// The next member, skipping those whose names begin with `_`, which deb(5) says to ignore.
    fn expect(&mut self, expected: &'static str, is_it: impl Fn(&str) -> bool) -> Result<Member, DebProblem> {
        loop {
            let member = self.header(expected)?;
            if is_it(&member.name) {
                return Ok(member);
            }
            if expected == "debian-binary" || !member.name.starts_with('_') {
                return Err(DebProblem::Order { offset: member.offset - HEADER, found: member.name, expected });
            }
            self.skip(&member)?;
        }
    }

    fn bytes(&mut self, length: u64, expected: &str) -> Result<Vec<u8>, DebProblem> {
        if self.length - self.position < length {
            return Err(DebProblem::Truncated { found: self.length, expected: expected.to_owned() });
        }
        let mut bytes = vec![0; length as usize];
        self.file.read_exact(&mut bytes)?;
        self.position += length;
        Ok(bytes)
    }

    fn header(&mut self, expected: &str) -> Result<Member, DebProblem> {
        let offset = self.position;
        let bytes = self.bytes(HEADER, expected)?;
        let damaged = |field, found: &[u8]| DebProblem::Header {
            offset,
            field,
            found: String::from_utf8_lossy(found).into_owned(),
        };
        if &bytes[58..] != b"`\n" {
            return Err(damaged("the end mark", &bytes[58..]));
        }
        let name = bytes[..16].trim_ascii_end();
        let name =
            std::str::from_utf8(name.strip_suffix(b"/").unwrap_or(name)).map_err(|_| damaged("the name", name))?;
        let size = bytes[48..58].trim_ascii_end();
        let digits = !size.is_empty() && size.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(size).ok().filter(|_| digits).and_then(|size| size.parse::<u64>().ok());
        let length = length.ok_or_else(|| damaged("the size", size))?;
        let member = Member { name: name.to_owned(), offset: self.position, length };
        if self.length - self.position < length {
            let expected = format!("{length} bytes of {} from byte {}", member.name, self.position);
            return Err(DebProblem::Truncated { found: self.length, expected });
        }
        Ok(member)
    }

    /// A small member's content.
    fn bytes_of(&mut self, member: &Member, most: u64) -> Result<Vec<u8>, DebProblem> {
        let start = self.position;
        let bytes = self.bytes(member.length.min(most), &member.name)?;
        self.position = start;
        self.skip(member)?;
        Ok(bytes)
    }

    /// Seeks to the next header: members begin at even offsets.
    fn skip(&mut self, member: &Member) -> Result<(), DebProblem> {
        let end = member.offset + member.length;
        // The last member's padding may be missing.
        self.position = (end + end % 2).min(self.length);
        self.file.seek(SeekFrom::Start(self.position))?;
        Ok(())
    }
}

/// The size of a member's header: ar(5).
const HEADER: u64 = 60;

fn is_tar(name: &str, of: &str) -> bool {
    let rest = name.strip_prefix(of).and_then(|rest| rest.strip_prefix(".tar"));
    matches!(rest, Some("" | ".gz" | ".xz" | ".zst"))
}

#[cfg(test)]
mod tests;
