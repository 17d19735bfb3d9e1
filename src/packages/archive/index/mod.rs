//! Parses `Packages` files (deb-control(5)) into records that borrow from them.

mod fault;
mod record;

pub use fault::{Fault, Ignored};
pub(in crate::packages) use record::is_pool_path;
pub use record::{MultiArch, Priority, Record};

use super::refresh::SuiteIndex;
use crate::packages::dependency;
use crate::packages::version::Version;
use record::{Field, Paragraph};
use std::collections::{BTreeMap, HashMap};

/// A verified `Packages` file, and its origin.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// `debian`, `debian-security` …
    pub archive: &'a str,
    /// `trixie`, `trixie-updates` …
    pub suite: &'a str,
    /// False if the suite's Release file says `NotAutomatic: yes`.
    pub automatic: bool,
    /// The text of `Packages`.
    pub packages: &'a [u8],
    /// Which of the packages are used.
    pub admission: Admission<'a>,
}

/// Which packages may come from an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission<'a> {
    /// All of them.
    All,
    /// Those whose names no archive with another admission has: it may add packages, but replace none.
    Additional,
    /// Those whose names one of the patterns matches.
    Named(&'a [String]),
}

impl Admission<'_> {
    fn admits(self, name: &str) -> bool {
        match self {
            Self::All | Self::Additional => true,
            Self::Named(patterns) => patterns.iter().any(|pattern| matches(pattern.as_bytes(), name.as_bytes())),
        }
    }
}

/// Whether `pattern` matches `name`. `*` stands for any number of characters, and `?` for one.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // The position of the last `*` in the pattern, and the position in the name where its match ends.
    let (mut at, mut of, mut star) = (0, 0, None);
    while of < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(letter) if *letter == b'?' || *letter == name[of] => (at, of) = (at + 1, of + 1),
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    (at, of) = (place + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

impl<'a> Source<'a> {
    /// The packages of a suite, restricted by `admission`.
    pub fn new(index: &'a SuiteIndex, admission: Admission<'a>) -> Self {
        let SuiteIndex { archive, suite, automatic, packages, .. } = index;
        Self { archive, suite, automatic: *automatic, packages, admission }
    }
}

/// A record's position in its [`Index`].
pub type RecordId = u32;

/// All records of all suites.
#[derive(Debug)]
pub struct Index<'a> {
    records: Vec<Record<'a>>,
    /// Automatic suites first, then the highest version; of equal versions the first suite's.
    by_name: HashMap<&'a str, Vec<RecordId>>,
    /// Virtual name → its providers, with the provided version.
    providers: HashMap<&'a str, Vec<(RecordId, Option<Version<'a>>)>>,
    suites: Vec<&'a str>,
    /// Records that cannot be used, by the name of the package.
    ignored: BTreeMap<&'a str, Vec<Ignored<'a>>>,
}

impl<'a> Index<'a> {
    /// Reads the files in the given order, which is the order of precedence between equal versions. Records for other
    /// architectures are skipped. Records that cannot be used are stored separately ([`Self::ignored`]).
    pub fn read(sources: &[Source<'a>], architecture: &str) -> Self {
        let mut index = Self {
            records: Vec::new(),
            by_name: HashMap::new(),
            providers: HashMap::new(),
            suites: Vec::new(),
            ignored: BTreeMap::new(),
        };
        for source in sources {
            if !index.suites.contains(&source.suite) {
                index.suites.push(source.suite);
            }
            index.read_source(source, architecture);
        }
        index.leave_out_replacements();
        for ids in index.by_name.values_mut() {
            // The sort is stable: of equal versions the one read first stays first.
            // A suite that is not automatic has a lower priority than all others, whatever the version
            // (apt_preferences(5)).
            let key = |id: &RecordId| (index.records[*id as usize].automatic, index.records[*id as usize].version);
            ids.sort_by(|a, b| key(b).cmp(&key(a)));
        }
        index
    }

    fn read_source(&mut self, source: &Source<'a>, architecture: &str) {
        let text = source.packages;
        let mut paragraph = Paragraph::default();
        let mut position = 0;
        let mut number = 0;
        while position < text.len() {
            let rest = &text[position..];
            let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let next = position + length + 1;
            // Some archives are made on other systems, whose lines end in CRLF.
            let line = rest[..length].strip_suffix(b"\r").unwrap_or(&rest[..length]);
            let end = position + line.len();
            number += 1;
            if line.is_empty() {
                self.finish(&mut paragraph, source, architecture);
            } else if line.starts_with(b" ") || line.starts_with(b"\t") {
                paragraph.continue_with(text, end);
            } else if let Some(colon) = line.iter().position(|byte| *byte == b':') {
                paragraph.set(&line[..colon], text, position + colon + 1, end);
            } else {
                paragraph.stray(number, line);
            }
            position = next;
        }
        self.finish(&mut paragraph, source, architecture);
    }

    /// Turns the paragraph that ends here into a record.
    fn finish(&mut self, paragraph: &mut Paragraph<'a>, source: &Source<'a>, architecture: &str) {
        let fields = std::mem::take(paragraph);
        let for_us = [architecture.as_bytes(), b"all"].contains(&fields[Field::Architecture]);
        if !fields.any || !for_us {
            return;
        }
        let record = match fields.record(source) {
            Ok(record) => record,
            Err(fault) => return self.ignore(&fields, source, fault),
        };
        if !source.admission.admits(record.name) {
            return self.ignore(&fields, source, Fault::NotNamed);
        }
        let Ok(provides) = dependency::parse(record.provides) else { return };
        let id = self.records.len() as RecordId;
        for provision in provides.iter().flat_map(|group| &group.alternatives) {
            let version = provision.version.map(|(_, version)| version);
            self.providers.entry(provision.name).or_default().push((id, version));
        }
        self.by_name.entry(record.name).or_default().push(id);
        self.records.push(record);
    }

    /// Removes additional records whose name another archive has.
    fn leave_out_replacements(&mut self) {
        for ids in self.by_name.values_mut() {
            if ids.iter().all(|id| self.records[*id as usize].additional) {
                continue;
            }
            ids.retain(|id| {
                let Record { archive, suite, name, version, additional, .. } = self.records[*id as usize];
                if additional {
                    let fault = Fault::Replaces;
                    let ignored = Ignored { archive, suite, name, version: version.as_str(), fault };
                    self.ignored.entry(name).or_default().push(ignored);
                }
                !additional
            });
        }
    }

    fn ignore(&mut self, fields: &Paragraph<'a>, source: &Source<'a>, fault: Fault) {
        let (archive, suite) = (source.archive, source.suite);
        let (name, version) = (fields.readable(Field::Package), fields.readable(Field::Version));
        self.ignored.entry(name).or_default().push(Ignored { archive, suite, name, version, fault });
    }

    /// The records of a package name that cannot be used.
    pub fn ignored(&self, name: &str) -> &[Ignored<'a>] {
        self.ignored.get(name).map_or(&[], Vec::as_slice)
    }

    /// All records that cannot be used, sorted by name.
    pub fn all_ignored(&self) -> impl Iterator<Item = &Ignored<'a>> {
        self.ignored.values().flatten()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record with an id of this index.
    pub fn record(&self, id: RecordId) -> &Record<'a> {
        &self.records[id as usize]
    }

    /// The ids of all records, in the order in which they were read.
    pub fn ids(&self) -> impl Iterator<Item = RecordId> + use<> {
        0..self.records.len() as RecordId
    }

    /// Every version of a package; the first is the one that apt would choose.
    pub fn versions(&self, name: &str) -> &[RecordId] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// The providers of a virtual name, with the provided version.
    pub fn providers(&self, name: &str) -> &[(RecordId, Option<Version<'a>>)] {
        self.providers.get(name).map_or(&[], Vec::as_slice)
    }

    /// Names of packages and virtual names, in arbitrary order.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.by_name.keys().chain(self.providers.keys()).copied()
    }

    /// The suites, in the order given to [`Index::read`].
    pub fn suites(&self) -> &[&'a str] {
        &self.suites
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paragraph(fields: &str) -> String {
        let sum = "0123456789abcdef".repeat(4);
        format!("{fields}\nSize: 7\nSHA256: {sum}\nFilename: pool/x.deb\nDescription: x\n folded: line\n .\n")
    }

    fn read<'a>(texts: &[(&'a str, &'a str)]) -> Index<'a> {
        let source = |(suite, text): &(&'a str, &'a str)| Source {
            archive: "debian",
            suite,
            automatic: !suite.ends_with("backports"),
            packages: text.as_bytes(),
            admission: Admission::All,
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
        let index = read(&[("trixie", &text)]);
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
        let index = read(&[("first", &old), ("second", &new), ("third", &new)]);
        let suites: Vec<_> = index.versions("a").iter().map(|id| index.record(*id).suite).collect();
        assert_eq!(suites, ["second", "third", "first"]);
        let newest = paragraph("Package: a\nVersion: 2\nArchitecture: amd64");
        let index = read(&[("trixie-backports", &newest), ("trixie", &old)]);
        assert_eq!(index.record(index.versions("a")[0]).suite, "trixie");
    }

    #[test]
    fn a_record_that_is_wrong_costs_only_itself_and_says_why() {
        let good = paragraph("Package: a\nVersion: 1\nArchitecture: amd64");
        let other = paragraph("Package: other\nVersion: 1\nArchitecture: amd64");
        let sum = "0123456789abcdef".repeat(4);
        for (bad, message) in [
            (
                good.replace("Version: 1\n", ""),
                "a in debian trixie cannot be used: it has no Version; the archive's owner",
            ),
            (good.replace("Size: 7", "Size: x"), "a 1 in debian trixie cannot be used: its Size is \"x\""),
            (good.replace("cdef", "cdeg"), "its SHA256 is"),
            (good.replace(&format!("SHA256: {sum}"), "MD5sum: 0"), "neither SHA256 nor SHA512"),
            (good.replace("SHA256", "SHA512"), "expected 128 hexadecimal digits"),
            (good.replace("pool/x.deb", "pool/../../x.deb"), "its Filename is"),
            (good.replace("pool/x.deb", "/x.deb"), "its Filename is"),
            (good.replace("Version: 1", "Version: 1-"), "version \"1-\" has nothing after"),
            (good.replace("Version: 1", "Version: 1.0_beta3-1"), "version \"1.0_beta3-1\" holds '_'"),
            (good.replace("Size: 7", "Provides: x (>= \nSize: 7"), "its Provides: dependency"),
            (good.replace("Size: 7", "Depends: b, x (>= \nSize: 7"), "its Depends: dependency"),
            (good.replace("Size: 7", "nonsense"), "line 4 of the index is \"nonsense\""),
        ] {
            let text = format!("{bad}\n{other}");
            let index = read(&[("trixie", &text)]);
            assert_eq!(index.names().collect::<Vec<_>>(), ["other"], "{message}");
            let said = index.ignored("a")[0].to_string();
            assert!(said.contains(message), "{said}: expected {message}");
        }
        let named = good.replace("Package: a", "Package: ../a");
        assert_eq!(read(&[("trixie", &named)]).all_ignored().count(), 1);
    }

    #[test]
    fn other_line_ends_and_encodings_are_read() {
        let text = paragraph("Package: a\nVersion: 1\nArchitecture: amd64\nDepends: b,\n c").replace('\n', "\r\n");
        let index = read(&[("trixie", &text)]);
        let a = index.record(index.versions("a")[0]);
        assert_eq!((a.path, a.depends), ("pool/x.deb", "b,\r\n c"));
        let mut latin = paragraph("Package: a\nVersion: 1\nArchitecture: amd64\nMaintainer: M\u{1}ller").into_bytes();
        latin.iter_mut().filter(|byte| **byte == 1).for_each(|byte| *byte = 0xfc);
        let source = |packages| Source {
            archive: "debian",
            suite: "trixie",
            automatic: true,
            packages,
            admission: Admission::All,
        };
        assert_eq!(Index::read(&[source(&latin)], "amd64").len(), 1);
        let wanted = b"Package: a\nVersion: \xfc\nArchitecture: amd64\n";
        let said = Index::read(&[source(wanted)], "amd64").ignored("a")[0].to_string();
        assert!(said.contains("its Version holds bytes that are not UTF-8"), "{said}");
    }

    #[test]
    fn sha512_counts_where_there_is_no_sha256() {
        let sum = "0123456789abcdef".repeat(8);
        let text = format!("Package: a\nVersion: 1\nArchitecture: all\nSize: 7\nSHA512: {sum}\nFilename: ./a.deb\n");
        let index = read(&[("trixie", &text)]);
        let hash = index.record(index.versions("a")[0]).hash;
        assert_eq!(hash.to_string(), format!("SHA-512 {sum}"));
    }

    proptest! {
        #[test]
        fn never_panics(text in "(Package: a\r?\n|Version: [0-9]\n|Architecture: all\n| x\n|\n|Size: 1\n|:|é){0,12}") {
            let index = read(&[("trixie", &text)]);
            index.all_ignored().for_each(|ignored| assert!(!ignored.to_string().is_empty()));
        }
    }
}
