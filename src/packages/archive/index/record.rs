//! A record of a `Packages` file.

use super::fault::Fault;
use super::{Admission, Source};
use crate::packages::archive::file_hash::FileHash;
use crate::packages::dependency::{self, is_package_name};
use crate::packages::version::Version;

/// A package that an archive offers. Relations are the text of their fields, parsed on demand.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// The archive that offers it.
    pub archive: &'a str,
    /// The suite that lists it.
    pub suite: &'a str,
    /// Whether the suite's packages are used without a request by version.
    pub automatic: bool,
    /// Whether the archive may only add packages, and replace none.
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
    /// Size of the package's file in bytes.
    pub size: u64,
    /// The hash of the package's file.
    pub hash: FileHash,
    /// The path below the archive's root: `pool/…`.
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

/// Whether the package can be installed for several architectures at once, or satisfy dependencies of packages of other
/// architectures (deb-control(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MultiArch {
    /// Neither.
    No,
    /// It can be installed for several architectures at once.
    Same,
    /// It satisfies dependencies of any architecture.
    Foreign,
    /// As `Foreign`, but only for dependencies with `:any`.
    Allowed,
}

/// How important a package is; the most important first.
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

/// The fields that a record needs; all others are skipped.
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

/// The number of variants of [`Field`].
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
    /// Bytes, because unused fields of the file may be in any encoding.
    values: [&'a [u8]; FIELDS],
    /// The field being read and the start of its value, if the record needs the field.
    open: Option<(Field, usize)>,
    pub(super) any: bool,
    /// The first line that is not a field, with its number.
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

    /// Folded fields (deb822(5)) continue in lines that begin with a space or a tab.
    pub(super) fn continue_with(&mut self, text: &'a [u8], end: usize) {
        if let Some((field, start)) = self.open {
            self.values[field as usize] = text[start..end].trim_ascii();
        }
    }

    /// Records a line that is neither a field nor the continuation of one.
    pub(super) fn stray(&mut self, number: usize, line: &'a [u8]) {
        self.any = true;
        self.open = None;
        self.stray.get_or_insert((number, line));
    }

    /// The value for a message; empty if it is not UTF-8.
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

    /// Checks that the relations can be parsed; they are parsed on demand.
    fn relations(&self, field: Field, name: &'static str) -> Result<&'a str, Fault> {
        let text = self.text(field, name)?;
        dependency::check(text).map_err(|source| Fault::Relation { field: name, source })?;
        Ok(text)
    }

    /// SHA-256, or SHA-512 if the record has no SHA-256.
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
        // In flat archives, as made by dpkg-scanpackages, paths begin with `./`.
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

/// Whether `path` stays below the archive's root, both on a disk (`file:` mirrors) and in a URL.
pub(in crate::packages) fn is_pool_path(path: &str) -> bool {
    !path.is_empty()
        && path.split('/').all(|name| !matches!(name, "" | "." | ".."))
        && path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'?' | b'#'))
}
