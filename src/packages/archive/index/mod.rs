//! `Packages` files to records that borrow from them: deb-control(5).

mod record;

pub(in crate::packages) use record::is_pool_path;
pub use record::{MultiArch, Priority, Record};

use super::refresh::SuiteIndex;
use crate::packages::dependency::{self, DependencyError};
use crate::packages::version::{Version, VersionError};
use record::{Field, Paragraph};
use std::collections::HashMap;

/// One `Packages` file, already verified, and where it came from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// `debian`, `debian-security` …
    pub archive: &'a str,
    /// `trixie`, `trixie-updates` …
    pub suite: &'a str,
    /// Off where the suite's Release file says `NotAutomatic: yes`.
    pub automatic: bool,
    /// The text of `Packages`.
    pub packages: &'a [u8],
}

impl<'a> From<&'a SuiteIndex> for Source<'a> {
    fn from(index: &'a SuiteIndex) -> Self {
        let SuiteIndex { archive, suite, automatic, packages, .. } = index;
        Self { archive, suite, automatic: *automatic, packages }
    }
}

/// A record's place in its [`Index`].
pub type RecordId = u32;

/// All records of all suites.
#[derive(Debug)]
pub struct Index<'a> {
    records: Vec<Record<'a>>,
    /// Automatic suites first, then the highest version; of equal ones the first suite's.
    by_name: HashMap<&'a str, Vec<RecordId>>,
    /// A virtual name to who provides it, in which version.
    providers: HashMap<&'a str, Vec<(RecordId, Option<Version<'a>>)>>,
    suites: Vec<&'a str>,
}

/// Why a `Packages` file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A byte that is not UTF-8.
    #[error("reading the package index of {suite}: found a byte that is not UTF-8 at {offset}, expected text")]
    Encoding {
        /// The suite.
        suite: String,
        /// The byte's offset.
        offset: usize,
    },
    /// A line that is no field (deb822(5)).
    #[error("reading the package index of {suite}, line {line}: found {found:?}, expected \"Field: value\"")]
    Line {
        /// The suite.
        suite: String,
        /// Counted from 1.
        line: usize,
        /// The line.
        found: String,
    },
    /// A paragraph without a field that is needed.
    #[error("reading the package index of {suite}: the paragraph before line {line} has no {field}")]
    Missing {
        /// The suite.
        suite: String,
        /// The line after the paragraph, counted from 1.
        line: usize,
        /// The field.
        field: &'static str,
    },
    /// A field with a value that is none.
    #[error("reading the package index of {suite}: package {name:?} has {field} {found:?}, expected {expected}")]
    Value {
        /// The suite.
        suite: String,
        /// The package.
        name: String,
        /// The field.
        field: &'static str,
        /// The value.
        found: String,
        /// What the field takes.
        expected: &'static str,
    },
    /// A version that is none (deb-version(7)).
    #[error("reading the package index of {suite}: package {name:?}")]
    Version {
        /// The suite.
        suite: String,
        /// The package.
        name: String,
        /// What is wrong with it.
        source: VersionError,
    },
    /// A field `Provides` that cannot be parsed.
    #[error("reading the package index of {suite}: Provides of package {name:?}")]
    Provides {
        /// The suite.
        suite: String,
        /// The package.
        name: String,
        /// What is wrong with it.
        source: DependencyError,
    },
}

impl<'a> Index<'a> {
    /// Reads the files in the order given, which is the order of precedence
    /// between equal versions. Records for other architectures are passed over.
    pub fn read(sources: &[Source<'a>], architecture: &str) -> Result<Self, IndexError> {
        let mut index = Self { records: vec![], by_name: HashMap::new(), providers: HashMap::new(), suites: vec![] };
        for source in sources {
            if !index.suites.contains(&source.suite) {
                index.suites.push(source.suite);
            }
            index.read_source(source, architecture)?;
        }
        for ids in index.by_name.values_mut() {
            // Stable: of equal versions the one read first stays first.
            // A suite that is not automatic has a lower priority than all others, whatever the version (apt_preferences(5)).
            let key = |id: &RecordId| (index.records[*id as usize].automatic, index.records[*id as usize].version);
            ids.sort_by(|a, b| key(b).cmp(&key(a)));
        }
        Ok(index)
    }

    fn read_source(&mut self, source: &Source<'a>, architecture: &str) -> Result<(), IndexError> {
        let encoding = |error: std::str::Utf8Error| IndexError::Encoding {
            suite: source.suite.to_owned(),
            offset: error.valid_up_to(),
        };
        let text = std::str::from_utf8(source.packages).map_err(encoding)?;
        let mut paragraph = Paragraph::default();
        let mut position = 0;
        let mut number = 0;
        while position < text.len() {
            let end = text[position..].find('\n').map_or(text.len(), |length| position + length);
            let line = &text[position..end];
            number += 1;
            if line.is_empty() {
                self.finish(&mut paragraph, source, architecture, number)?;
            } else if line.starts_with([' ', '\t']) {
                paragraph.continue_with(text, end);
            } else {
                let Some((field, value)) = line.split_once(':') else {
                    let found = line.chars().take(60).collect();
                    return Err(IndexError::Line { suite: source.suite.to_owned(), line: number, found });
                };
                let start = end - value.len();
                paragraph.set(field, text, start, end);
            }
            position = end + 1;
        }
        self.finish(&mut paragraph, source, architecture, number + 1)
    }

    /// Turns the paragraph that ends here into a record.
    fn finish(
        &mut self,
        paragraph: &mut Paragraph<'a>,
        source: &Source<'a>,
        architecture: &str,
        line: usize,
    ) -> Result<(), IndexError> {
        let fields = std::mem::take(paragraph);
        if !fields.any {
            return Ok(());
        }
        if fields[Field::Architecture] != architecture && fields[Field::Architecture] != "all" {
            return Ok(());
        }
        let record = fields.record(source, line)?;
        let id = self.records.len() as RecordId;
        let provides = dependency::parse(record.provides).map_err(|error| IndexError::Provides {
            suite: source.suite.to_owned(),
            name: record.name.to_owned(),
            source: error,
        })?;
        for provision in provides.iter().flat_map(|group| &group.alternatives) {
            let version = provision.version.map(|(_, version)| version);
            self.providers.entry(provision.name).or_default().push((id, version));
        }
        self.by_name.entry(record.name).or_default().push(id);
        self.records.push(record);
        Ok(())
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record of an id that this index gave.
    pub fn record(&self, id: RecordId) -> &Record<'a> {
        &self.records[id as usize]
    }

    /// All records, in the order in which they were read.
    pub fn ids(&self) -> impl Iterator<Item = RecordId> + use<> {
        0..self.records.len() as RecordId
    }

    /// Every version of a package, the one that apt would take first.
    pub fn versions(&self, name: &str) -> &[RecordId] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// Who provides a virtual name, and in which version.
    pub fn providers(&self, name: &str) -> &[(RecordId, Option<Version<'a>>)] {
        self.providers.get(name).map_or(&[], Vec::as_slice)
    }

    /// Names of packages and of what they provide, in no order.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.by_name.keys().chain(self.providers.keys()).copied()
    }

    /// In the order given to [`Index::read`].
    pub fn suites(&self) -> &[&'a str] {
        &self.suites
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::causes::WithCauses as _;
    use proptest::prelude::*;

    fn paragraph(fields: &str) -> String {
        let sum = "0123456789abcdef".repeat(4);
        format!("{fields}\nSize: 7\nSHA256: {sum}\nFilename: pool/x.deb\nDescription: x\n folded: line\n .\n")
    }

    fn read<'a>(texts: &[(&'a str, &'a str)]) -> Result<Index<'a>, IndexError> {
        let source = |(suite, text): &(&'a str, &'a str)| Source {
            archive: "debian",
            suite,
            automatic: !suite.ends_with("backports"),
            packages: text.as_bytes(),
        };
        Index::read(&texts.iter().map(source).collect::<Vec<_>>(), "amd64")
    }

    #[test]
    fn reads_records_of_this_architecture_and_all() {
        let a = paragraph(
            "Package: a\nVersion: 1:2-3\nArchitecture: amd64\nEssential: yes\nMulti-Arch: foreign\nPriority: required\nDepends: b,\n c (>= 2)\nProvides: v (= 3), w",
        );
        let b = paragraph("Package: b\nArchitecture: all\nVersion: 2\nImportant: yes");
        let c = paragraph("Package: c\nArchitecture: arm64\nVersion: 2");
        let text = format!("{a}\n\n{b}\n{c}");
        let index = read(&[("trixie", &text)]).expect("an index");
        assert_eq!(index.len(), 2);
        let a = index.record(index.versions("a")[0]);
        assert_eq!((a.version.as_str(), a.size, a.path, a.suite), ("1:2-3", 7, "pool/x.deb", "trixie"));
        assert_eq!((a.essential, a.multi_arch, a.priority), (true, MultiArch::Foreign, Priority::Required));
        assert_eq!(a.depends, "b,\n c (>= 2)");
        assert!(index.record(index.versions("b")[0]).protected);
        let provided: Vec<_> = index.providers("v").iter().map(|(_, version)| version.map(|v| v.as_str())).collect();
        assert_eq!(provided, [Some("3")]);
        assert_eq!(index.providers("w")[0].1, None);
    }

    #[test]
    fn the_highest_version_comes_first_and_the_first_suite_of_equals() {
        let old = paragraph("Package: a\nVersion: 1\nArchitecture: amd64");
        let new = paragraph("Package: a\nVersion: 1.0-1\nArchitecture: amd64");
        let index = read(&[("first", &old), ("second", &new), ("third", &new)]).expect("an index");
        let suites: Vec<_> = index.versions("a").iter().map(|id| index.record(*id).suite).collect();
        assert_eq!(suites, ["second", "third", "first"]);
        let newest = paragraph("Package: a\nVersion: 2\nArchitecture: amd64");
        let index = read(&[("trixie-backports", &newest), ("trixie", &old)]).expect("an index");
        assert_eq!(index.record(index.versions("a")[0]).suite, "trixie");
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let good = paragraph("Package: a\nVersion: 1\nArchitecture: amd64");
        for (bad, message) in [
            (good.replace("Version: 1\n", ""), "line 9 has no Version"),
            (good.replace("Size: 7", "Size: x"), "package \"a\" has Size \"x\""),
            (good.replace("cdef", "cdeg"), "has SHA256"),
            (good.replace("pool/x.deb", "pool/../../x.deb"), "has Filename"),
            (good.replace("pool/x.deb", "/x.deb"), "has Filename"),
            (good.replace("Package: a", "Package: ../a"), "has Package"),
            (good.replace("Version: 1", "Version: 1-"), "version \"1-\""),
            (good.replace("Size: 7", "Provides: x (>= \nSize: 7"), "Provides of package"),
            (good.replace("Size: 7", "nonsense"), "line 4: found \"nonsense\""),
        ] {
            let error = read(&[("trixie", &bad)]).expect_err(message).with_causes();
            assert!(error.contains("trixie") && error.contains(message), "{error}: expected {message}");
        }
        let source = Source { archive: "debian", suite: "trixie", automatic: true, packages: b"Package: \xff\n" };
        assert!(matches!(Index::read(&[source], "amd64"), Err(IndexError::Encoding { offset: 9, .. })));
    }

    proptest! {
        #[test]
        fn never_panics(text in "(Package: a\n|Version: [0-9]\n|Architecture: all\n| x\n|\n|Size: 1\n|:|é){0,12}") {
            let _ = read(&[("trixie", &text)]);
        }
    }
}
