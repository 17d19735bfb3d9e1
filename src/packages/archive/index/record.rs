//! A record of a `Packages` file.

use super::{IndexError, Source};
use crate::packages::dependency::is_package_name;
use crate::packages::version::Version;
use appliance_contract::Sha256;

/// A package that an archive offers. Relations are the field's text, read when wanted.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// The archive that offers it.
    pub archive: &'a str,
    /// The suite that lists it.
    pub suite: &'a str,
    /// Of a suite whose packages are taken without being asked for by version.
    pub automatic: bool,
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
    /// SHA-256 of the package's file.
    pub sha256: Sha256,
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
    fn named(name: &str) -> Option<Self> {
        const NAMES: [(&str, Field); FIELDS] = [
            ("Package", Field::Package),
            ("Version", Field::Version),
            ("Architecture", Field::Architecture),
            ("Depends", Field::Depends),
            ("Provides", Field::Provides),
            ("Filename", Field::Filename),
            ("Size", Field::Size),
            ("SHA256", Field::Sha256),
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
        NAMES.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, field)| *field)
    }
}

#[derive(Debug, Default)]
pub(super) struct Paragraph<'a> {
    values: [&'a str; FIELDS],
    /// Where the value of the field being read begins, when it is one of ours.
    open: Option<(Field, usize)>,
    pub(super) any: bool,
}

impl<'a> std::ops::Index<Field> for Paragraph<'a> {
    type Output = &'a str;

    fn index(&self, field: Field) -> &&'a str {
        &self.values[field as usize]
    }
}

impl<'a> Paragraph<'a> {
    pub(super) fn set(&mut self, name: &str, text: &'a str, start: usize, end: usize) {
        self.any = true;
        self.open = Field::named(name).map(|field| (field, start));
        self.continue_with(text, end);
    }

    /// Folded fields (deb822(5)) go on in lines that begin with a space.
    pub(super) fn continue_with(&mut self, text: &'a str, end: usize) {
        if let Some((field, start)) = self.open {
            self.values[field as usize] = text[start..end].trim_ascii();
        }
    }

    pub(super) fn record(&self, source: &Source<'a>, line: usize) -> Result<Record<'a>, IndexError> {
        let suite = || source.suite.to_owned();
        for (field, name) in [
            (Field::Package, "Package"),
            (Field::Version, "Version"),
            (Field::Filename, "Filename"),
            (Field::Size, "Size"),
            (Field::Sha256, "SHA256"),
        ] {
            if self[field].is_empty() {
                return Err(IndexError::Missing { suite: suite(), line, field: name });
            }
        }
        let name = self[Field::Package];
        let wrong = |field, found: &str, expected| IndexError::Value {
            suite: suite(),
            name: name.to_owned(),
            field,
            found: found.to_owned(),
            expected,
        };
        if !is_package_name(name) {
            return Err(wrong("Package", name, "lower-case letters, digits and + - ."));
        }
        let version = Version::parse(self[Field::Version]).map_err(|source| IndexError::Version {
            suite: suite(),
            name: name.to_owned(),
            source,
        })?;
        let size = self[Field::Size];
        let size = size.parse().map_err(|_| wrong("Size", size, "a number of bytes"))?;
        let sha256 = self[Field::Sha256];
        let sha256 = sha256.parse().map_err(|_| wrong("SHA256", sha256, "64 hexadecimal digits"))?;
        // Flat archives, as dpkg-scanpackages makes them, name files `./…`.
        let path = self[Field::Filename].trim_start_matches("./");
        if !is_pool_path(path) {
            return Err(wrong("Filename", path, "a path below the archive's root"));
        }
        Ok(Record {
            archive: source.archive,
            suite: source.suite,
            automatic: source.automatic,
            name,
            version,
            architecture: self[Field::Architecture],
            multi_arch: match self[Field::MultiArch] {
                "same" => MultiArch::Same,
                "foreign" => MultiArch::Foreign,
                "allowed" => MultiArch::Allowed,
                _ => MultiArch::No,
            },
            essential: self[Field::Essential] == "yes",
            protected: self[Field::Protected] == "yes" || self[Field::Important] == "yes",
            priority: match self[Field::Priority] {
                "required" => Priority::Required,
                "important" => Priority::Important,
                "standard" => Priority::Standard,
                "extra" => Priority::Extra,
                _ => Priority::Optional,
            },
            size,
            sha256,
            path,
            pre_depends: self[Field::PreDepends],
            depends: self[Field::Depends],
            recommends: self[Field::Recommends],
            conflicts: self[Field::Conflicts],
            breaks: self[Field::Breaks],
            provides: self[Field::Provides],
        })
    }
}

/// Whether `path` stays below the archive's root, on a disk (`file:` mirrors) as in a URL.
pub(in crate::packages) fn is_pool_path(path: &str) -> bool {
    !path.is_empty()
        && path.split('/').all(|name| !matches!(name, "" | "." | ".."))
        && path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'?' | b'#'))
}
