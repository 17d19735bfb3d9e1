//! Compares two images: opens nested ISO 9660, squashfs and cpio containers, down to the first file that differs.

mod cpio;
mod excerpt;
mod iso;
mod squashfs;

use crate::format::compression;
use crate::tree::Content;
use crate::util::file_error::FileError;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

/// The limit of nested containers; applbuild's images have three.
const MAX_DEPTH: usize = 8;
/// In bytes; an unpacked initramfs is far smaller.
const MAX_UNPACKED_SIZE: u64 = 1 << 30;
const CHUNK: usize = 1 << 20;

/// The first difference between two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The names inside the containers, from the outermost to the file that differs.
    pub place: Vec<String>,
    /// What differs, in a few words.
    pub what: String,
    /// An excerpt of the first file.
    pub left: String,
    /// An excerpt of the second file.
    pub right: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.place.is_empty() { "the file itself".to_owned() } else { self.place.join(" → ") };
        write!(f, "{place}: {}\n--- first\n{}\n+++ second\n{}", self.what, self.left, self.right)
    }
}

/// Why two files cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// Reading or writing a file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Reading a file inside a container failed.
    #[error("reading {place}")]
    Inside {
        /// The names of the containers and of the file in them.
        place: String,
        /// The system's error.
        source: io::Error,
    },
    /// A container's structure contradicts itself.
    #[error("reading {place}: {what} is {found}, expected {expected}")]
    Damaged {
        /// The names of the containers.
        place: String,
        /// The field of the structure.
        what: &'static str,
        /// The field's value.
        found: u64,
        /// What the format allows.
        expected: String,
    },
}

/// An error in a container whose place is not known yet.
#[derive(Debug)]
pub(crate) enum Problem {
    Io(io::Error),
    Damaged { what: &'static str, found: u64, expected: String },
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn damaged(what: &'static str, found: u64, expected: impl ToString) -> Problem {
    Problem::Damaged { what, found, expected: expected.to_string() }
}

/// A name in a container.
#[derive(Debug, Clone)]
struct Item {
    path: Vec<u8>,
    /// Kind, mode, owner, time and all other properties but the content, as text for people.
    facts: String,
    is_file: bool,
}

/// A file system or archive whose entries can be compared.
trait Container {
    /// The entries, sorted by path.
    fn items(&self) -> &[Item];
    fn content(&mut self, index: usize) -> Result<Content, Problem>;
}

/// Pairs of path and content, sorted by path.
pub type Files = Vec<(Vec<u8>, Content)>;

/// The regular files of an image, as [`compare`] reads them; `None` if the file is not a known container.
pub fn files(image: &Path) -> Result<Option<Files>, DiffError> {
    let located = |problem| locate(&[], problem);
    let Some(mut container) = open(&open_file(image)?).map_err(located)? else { return Ok(None) };
    let names: Vec<(usize, Vec<u8>)> = container
        .items()
        .iter()
        .enumerate()
        .filter(|(_, item)| item.is_file)
        .map(|(index, item)| (index, item.path.clone()))
        .collect();
    let files = names.into_iter().map(|(index, path)| Ok((path, container.content(index).map_err(located)?)));
    files.collect::<Result<_, DiffError>>().map(Some)
}

/// The first difference between two files; `None` if they have the same bytes.
pub fn compare(left: &Path, right: &Path) -> Result<Option<Difference>, DiffError> {
    compare_contents(&open_file(left)?, &open_file(right)?, &mut Vec::new())
}

fn open_file(path: &Path) -> Result<Content, DiffError> {
    let failed = |source| DiffError::from(FileError::new("reading", path.to_owned(), source));
    let found = std::fs::File::open(path).and_then(|file| file.metadata()).map_err(failed)?;
    if !found.is_file() {
        return Err(failed(io::Error::other("it is not a file")));
    }
    Ok(Content::host(path.to_owned(), found.len()))
}

fn compare_contents(left: &Content, right: &Content, place: &mut Vec<String>) -> Result<Option<Difference>, DiffError> {
    let located = |problem: Problem| locate(place, problem);
    let Some(offset) = first_difference(left, right).map_err(|error| located(error.into()))? else { return Ok(None) };
    if place.len() < MAX_DEPTH {
        let opened = (open(left).map_err(located)?, open(right).map_err(located)?);
        if let (Some(mut first), Some(mut second)) = opened
            && let Some(difference) = compare_containers(&mut *first, &mut *second, place)?
        {
            return Ok(Some(difference));
        }
    }
    let text = excerpt::around(left, right, offset).map_err(|error| locate(place, error.into()))?;
    Ok(Some(Difference { place: place.clone(), what: text.what, left: text.left, right: text.right }))
}

fn locate(place: &[String], problem: Problem) -> DiffError {
    let place = if place.is_empty() { "the image".to_owned() } else { place.join(" → ") };
    match problem {
        Problem::Io(source) => DiffError::Inside { place, source },
        Problem::Damaged { what, found, expected } => DiffError::Damaged { place, what, found, expected },
    }
}

/// The first difference between the entries of two containers; `None` if all are the same.
fn compare_containers(
    left: &mut dyn Container,
    right: &mut dyn Container,
    place: &mut Vec<String>,
) -> Result<Option<Difference>, DiffError> {
    let (mut first, mut second) = (0, 0);
    loop {
        let (one, other) = (left.items().get(first).cloned(), right.items().get(second).cloned());
        let shown = |item: &Item| String::from_utf8_lossy(&item.path).into_owned();
        let only = |item: &Item, place: &mut Vec<String>, in_left: bool| {
            place.push(shown(item));
            let (there, missing) = (item.facts.clone(), "(is not there)".to_owned());
            let (left, right) = if in_left { (there, missing) } else { (missing, there) };
            Difference { place: place.clone(), what: "is in only one of the two".to_owned(), left, right }
        };
        match (one, other) {
            (None, None) => return Ok(None),
            (Some(one), None) => return Ok(Some(only(&one, place, true))),
            (None, Some(other)) => return Ok(Some(only(&other, place, false))),
            (Some(one), Some(other)) if one.path < other.path => return Ok(Some(only(&one, place, true))),
            (Some(one), Some(other)) if one.path > other.path => return Ok(Some(only(&other, place, false))),
            (Some(one), Some(other)) => {
                place.push(shown(&one));
                if one.is_file && other.is_file {
                    let contents = (left.content(first), right.content(second));
                    let (a, b) = (
                        contents.0.map_err(|problem| locate(place, problem))?,
                        contents.1.map_err(|problem| locate(place, problem))?,
                    );
                    if let Some(difference) = compare_contents(&a, &b, place)? {
                        return Ok(Some(difference));
                    }
                }
                if one.facts != other.facts {
                    let what = "kind, mode, owner, time, attributes or size".to_owned();
                    return Ok(Some(Difference { place: place.clone(), what, left: one.facts, right: other.facts }));
                }
                place.pop();
                first += 1;
                second += 1;
            }
        }
    }
}

/// Opens a container; its first bytes identify its format.
fn open(content: &Content) -> Result<Option<Box<dyn Container>>, Problem> {
    if let Some(volume) = iso::Volume::open(content)? {
        return Ok(Some(Box::new(volume)));
    }
    if let Some(image) = squashfs::Image::open(content)? {
        return Ok(Some(Box::new(image)));
    }
    if cpio::is_archive(&head(content, 6)?) {
        return Ok(Some(Box::new(cpio::Archive::read(&content.read()?)?)));
    }
    let head = head(content, 6)?;
    if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || head.starts_with(&[0x1f, 0x8b]) || head.starts_with(b"\xfd7zXZ") {
        let mut bytes = Vec::new();
        // Content that cannot be decompressed is compared as it is.
        let unpacked = compression::decompress(content.open()?)
            .map_err(io::Error::other)
            .and_then(|(_, reader)| reader.take(MAX_UNPACKED_SIZE).read_to_end(&mut bytes));
        if unpacked.is_ok() && cpio::is_archive(&bytes) {
            return Ok(Some(Box::new(cpio::Archive::read(&bytes)?)));
        }
    }
    Ok(None)
}

fn head(content: &Content, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    content.open()?.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The offset of the first byte that differs; `None` if the contents are the same.
fn first_difference(left: &Content, right: &Content) -> io::Result<Option<u64>> {
    let (mut one, mut other) = (left.open()?, right.open()?);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    let mut position = 0;
    loop {
        a.clear();
        b.clear();
        one.by_ref().take(CHUNK as u64).read_to_end(&mut a)?;
        other.by_ref().take(CHUNK as u64).read_to_end(&mut b)?;
        if a != b {
            let at = a.iter().zip(&b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
            return Ok(Some(position + at as u64));
        }
        if a.is_empty() {
            return Ok(None);
        }
        position += a.len() as u64;
    }
}

#[cfg(test)]
mod tests;
