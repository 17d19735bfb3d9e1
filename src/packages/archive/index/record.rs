//! A record of a `Packages` file.

use super::fault::Fault;
use super::{Admission, Source};
use crate::packages::archive::file_hash::FileHash;
use crate::packages::dependency::{self, is_package_name};
use crate::packages::version::Version;

/// A package that an archive offers. Relations are the field's text, read when wanted.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// The archive that offers it.
    pub archive: &'a str,
    /// The suite that lists it.
    pub suite: &'a str,
    /// Of a suite whose packages are taken without being asked for by version.
    pub automatic: bool,
    /// Of an archive that may add packages and replace none.
    pub additional: bool,
    /// `Package`.
    pub name: &'a str,
    /// `Version`.
    pub version: Version<'a>,
    /// `Architecture`: the index's own, or `all`.
    pub architecture: &'a str,
    /// `Multi-Arch`.
    pub multi_arch: MultiArch,
    /// `Essential: yes`.
    pub essential: bool,
    /// `Protected: yes` or, its older name, `Important: yes`.
    pub protected: bool,
    /// `Priority`.
    pub priority: Priority,
    /// Bytes of the package's file.
    pub size: u64,
    /// The hash of the package's file.
    pub hash: FileHash,
    /// Below the archive's root: `pool/…`.
    pub path: &'a str,
    /// `Pre-Depends`.
    pub pre_depends: &'a str,
    /// `Depends`.
    pub depends: &'a str,
    /// `Recommends`.
    pub recommends: &'a str,
    /// `Conflicts`.
    pub conflicts: &'a str,
    /// `Breaks`.
    pub breaks: &'a str,
    /// `Provides`.
    pub provides: &'a str,
}

/// Whether packages of other architectures may be installed beside it or use it (deb-control(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MultiArch {
    /// Neither.
    No,
    /// Beside one of another architecture.
    Same,
    /// It satisfies dependencies of any architecture.
    Foreign,
    /// As `Foreign`, for a dependency that says `:any`.
    Allowed,
}

/// From the one that must be there to the one that nobody misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Without it the package system does not work.
    Required,
    /// Expected on any Unix system.
    Important,
    /// Part of a small but complete system without graphics.
    Standard,
    /// Anything else.
    Optional,
    /// An old name of `Optional`.
    Extra,
}

/// The fields that a record needs; all others are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Package,
    Version,
    Architecture,
    MultiArch,
    Essential,
    Protected,
    Important,
    Priority,
    Size,
    Sha256,
    Sha512,
    Filename,
    PreDepends,
    Depends,
    Recommends,
    Conflicts,
    Breaks,
    Provides,
}

/// One more than the last of [`Field`].
const FIELDS: usize = Field::Provides as usize + 1;

impl Field {
    fn named(name: &[u8]) -> Option<Self> {
        const NAMES: [(&str, Field); FIELDS] = [
            ("Package", Field::Package),
            ("Version", Field::Version),
            ("Architecture", Field::Architecture),
            ("Depends", Field::Depends),
            ("Provides", Field::Provides),
            ("Filename", Field::Filename),
            ("Size", Field::Size),
            ("SHA256", Field::Sha256),
            ("SHA512", Field::Sha512),
            ("Priority", Field::Priority),
            ("Multi-Arch", Field::MultiArch),
            ("Recommends", Field::Recommends),
            ("Pre-Depends", Field::PreDepends),
            ("Conflicts", Field::Conflicts),
            ("Breaks", Field::Breaks),
            ("Essential", Field::Essential),
            ("Protected", Field::Protected),
            ("Important", Field::Important),
        ];
        NAMES.iter().find(|(field, _)| field.as_bytes().eq_ignore_ascii_case(name)).map(|(_, field)| *field)
    }
}

#[derive(Debug, Default)]
pub(super) struct Paragraph<'a> {
    /// Bytes: what we do not read may be in any encoding.
    values: [&'a [u8]; FIELDS],
    /// Where the value of the field being read begins, when it is one of ours.
    open: Option<(Field, usize)>,
    pub(super) any: bool,
    /// The first line that is no field, with its number.
    stray: Option<(usize, &'a [u8])>,
}

impl<'a> std::ops::Index<Field> for Paragraph<'a> {
    type Output = &'a [u8];

    fn index(&self, field: Field) -> &&'a [u8] {
        &self.values[field as usize]
    }
}

impl<'a> Paragraph<'a> {
    pub(super) fn set(&mut self, name: &[u8], text: &'a [u8], start: usize, end: usize) {
        self.any = true;
        self.open = Field::named(name).map(|field| (field, start));
        self.continue_with(text, end);
    }

    /// Folded fields (deb822(5)) go on in lines that begin with a space.
    pub(super) fn continue_with(&mut self, text: &'a [u8], end: usize) {
        if let Some((field, start)) = self.open {
            self.values[field as usize] = text[start..end].trim_ascii();
        }
    }

    /// Takes a line that is neither a field nor the continuation of one.
    pub(super) fn stray(&mut self, number: usize, line: &'a [u8]) {
        self.any = true;
        self.open = None;
        self.stray.get_or_insert((number, line));
    }

    /// The value as far as it is text, for a message.
    pub(super) fn readable(&self, field: Field) -> &'a str {
        std::str::from_utf8(self[field]).unwrap_or_default()
    }

    fn text(&self, field: Field, name: &'static str) -> Result<&'a str, Fault> {
        std::str::from_utf8(self[field]).map_err(|_| Fault::Encoding { field: name })
    }

    fn needed(&self, field: Field, name: &'static str) -> Result<&'a str, Fault> {
        match self.text(field, name)? {
            "" => Err(Fault::Missing { field: name }),
            text => Ok(text),
        }
    }

    /// Relations are read when they are wanted; here it counts that they can be.
    fn relations(&self, field: Field, name: &'static str) -> Result<&'a str, Fault> {
        let text = self.text(field, name)?;
        dependency::check(text).map_err(|source| Fault::Relation { field: name, source })?;
        Ok(text)
    }

    /// SHA-256, or where the record has none, SHA-512.
    fn hash(&self) -> Result<FileHash, Fault> {
        let (sha256, sha512) = (self.text(Field::Sha256, "SHA256")?, self.text(Field::Sha512, "SHA512")?);
        let wrong = |field, found: &str, expected| Fault::Value { field, found: found.to_owned(), expected };
        match (sha256, sha512) {
            ("", "") => Err(Fault::NoHash),
            ("", text) => {
                text.parse().map(FileHash::Sha512).map_err(|_| wrong("SHA512", text, "128 hexadecimal digits"))
            }
            (text, _) => text.parse().map(FileHash::Sha256).map_err(|_| wrong("SHA256", text, "64 hexadecimal digits")),
        }
    }

    pub(super) fn record(&self, source: &Source<'a>) -> Result<Record<'a>, Fault> {
        if let Some((line, found)) = self.stray {
            let found = String::from_utf8_lossy(found).chars().take(60).collect();
            return Err(Fault::Line { line, found });
        }
        let wrong = |field, found: &str, expected| Fault::Value { field, found: found.to_owned(), expected };
        let name = self.needed(Field::Package, "Package")?;
        if !is_package_name(name) {
            return Err(wrong("Package", name, "lower-case letters, digits and + - ."));
        }
        let version = Version::parse(self.needed(Field::Version, "Version")?).map_err(Fault::Version)?;
        let size = self.needed(Field::Size, "Size")?;
        let size = size.parse().map_err(|_| wrong("Size", size, "a number of bytes"))?;
        // Flat archives, as dpkg-scanpackages makes them, name files `./…`.
        let path = self.needed(Field::Filename, "Filename")?.trim_start_matches("./");
        if !is_pool_path(path) {
            return Err(wrong("Filename", path, "a path below the archive's root"));
        }
        Ok(Record {
            archive: source.archive,
            suite: source.suite,
            automatic: source.automatic,
            additional: source.admission == Admission::Additional,
            name,
            version,
            architecture: self.text(Field::Architecture, "Architecture")?,
            multi_arch: match self[Field::MultiArch] {
                b"same" => MultiArch::Same,
                b"foreign" => MultiArch::Foreign,
                b"allowed" => MultiArch::Allowed,
                _ => MultiArch::No,
            },
            essential: self[Field::Essential] == b"yes",
            protected: self[Field::Protected] == b"yes" || self[Field::Important] == b"yes",
            priority: match self[Field::Priority] {
                b"required" => Priority::Required,
                b"important" => Priority::Important,
                b"standard" => Priority::Standard,
                b"extra" => Priority::Extra,
                _ => Priority::Optional,
            },
            size,
            hash: self.hash()?,
            path,
            pre_depends: self.relations(Field::PreDepends, "Pre-Depends")?,
            depends: self.relations(Field::Depends, "Depends")?,
            recommends: self.relations(Field::Recommends, "Recommends")?,
            conflicts: self.relations(Field::Conflicts, "Conflicts")?,
            breaks: self.relations(Field::Breaks, "Breaks")?,
            provides: self.relations(Field::Provides, "Provides")?,
        })
    }
}

/// Whether `path` stays below the archive's root, on a disk (`file:` mirrors) as in a URL.
pub(in crate::packages) fn is_pool_path(path: &str) -> bool {
    !path.is_empty()
        && path.split('/').all(|name| !matches!(name, "" | "." | ".."))
        && path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'?' | b'#'))
}
