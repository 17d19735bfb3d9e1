//! The machine's apt sources, in both formats (sources.list(5)).
//!
//! They are used only to find where an archive is.

use std::fmt;
use std::path::{Path, PathBuf};

/// One URI with one suite: what apt calls an index target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub uri: String,
    pub suite: String,
    pub components: Vec<String>,
    /// Keyring files, fingerprints or `embedded`, as the source names them.
    pub signed_by: Option<String>,
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A line or file that cannot be read. It does not stop the build, because it may be about another archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("{place}: found {found:?}, expected {expected}")]
    Line { place: Place, found: String, expected: &'static str },
    #[error("reading {}: {error}", file.display())]
    Read { file: PathBuf, error: String },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    pub entries: Vec<Source>,
    pub problems: Vec<Problem>,
}

impl Sources {
    /// Reads `sources.list` and `sources.list.d` in `apt` (`/etc/apt`), in apt's order.
    pub fn read(apt: &Path) -> Self {
        let mut sources = Self::default();
        let mut files = vec![apt.join("sources.list")];
        let folder = apt.join("sources.list.d");
        match std::fs::read_dir(&folder) {
            Ok(entries) => {
                let mut found: Vec<PathBuf> =
                    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| apt_reads(path)).collect();
                found.sort();
                files.extend(found);
            }
            Err(error) => sources.note(&folder, error),
        }
        for file in files {
            match std::fs::read(&file) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes);
                    if file.extension().is_some_and(|ending| ending == "sources") {
                        sources.add_stanzas(&file, &text);
                    } else {
                        sources.add_lines(&file, &text);
                    }
                }
                Err(error) => sources.note(&file, error),
            }
        }
        sources.follow_mirror_lists();
        sources
    }

    fn note(&mut self, file: &Path, error: std::io::Error) {
        if error.kind() != std::io::ErrorKind::NotFound {
            self.problems.push(Problem::Read { file: file.to_owned(), error: error.to_string() });
        }
    }

    /// The one-line format: `deb [ option=value … ] URI SUITE [COMPONENT …]`.
    pub fn add_lines(&mut self, file: &Path, text: &str) {
        for (number, line) in text.lines().enumerate() {
            let place = Place { file: file.to_owned(), line: number + 1 };
            let line = without_comment(line).trim();
            let Some((kind, rest)) = next_word(line) else { continue };
            let fail = |expected| Problem::Line { place: place.clone(), found: line.to_owned(), expected };
            match kind {
                "deb" => {}
                "deb-src" => continue,
                _ => {
                    self.problems.push(fail("deb or deb-src as the first word"));
                    continue;
                }
            }
            let (options, rest) = match rest.strip_prefix('[') {
                Some(inner) => match inner.split_once(']') {
                    Some((options, rest)) => (options, rest.trim_start()),
                    None => {
                        self.problems.push(fail("a ] after the options"));
                        continue;
                    }
                },
                None => ("", rest),
            };
            let Some((uri, (suite, rest))) = next_word(rest).and_then(|(uri, rest)| Some((uri, next_word(rest)?)))
            else {
                self.problems.push(fail("a URI and a suite"));
                continue;
            };
            let signed_by = options
                .split_whitespace()
                .filter_map(|option| option.split_once('='))
                .find(|(key, _)| key.trim_end_matches(['+', '-']).eq_ignore_ascii_case("signed-by"))
                .map(|(_, value)| value.to_owned());
            self.entries.push(Source {
                uri: uri.trim_matches('"').to_owned(),
                suite: suite.trim_matches('"').to_owned(),
                components: rest.split_whitespace().map(str::to_owned).collect(),
                signed_by,
                place,
            });
        }
    }

    /// The deb822 format: stanzas of `Field: value`, with continuation lines and comments.
    pub fn add_stanzas(&mut self, file: &Path, text: &str) {
        let mut stanza = Stanza::default();
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            if line.starts_with('#') {
                continue;
            }
            if line.trim().is_empty() {
                self.add_stanza(file, std::mem::take(&mut stanza));
            } else if line.starts_with([' ', '\t']) {
                match stanza.fields.last_mut() {
                    Some((_, value)) => {
                        value.push('\n');
                        value.push_str(line.trim());
                    }
                    None => self.line_problem(file, number, line, "a field before its continuation line"),
                }
            } else if let Some((field, value)) = line.split_once(':') {
                if stanza.fields.is_empty() {
                    stanza.line = number;
                }
                stanza.fields.push((field.trim().to_ascii_lowercase(), value.trim().to_owned()));
            } else {
                self.line_problem(file, number, line, "a field, a colon and a value");
            }
        }
        self.add_stanza(file, stanza);
    }

    fn line_problem(&mut self, file: &Path, line: usize, found: &str, expected: &'static str) {
        let place = Place { file: file.to_owned(), line };
        self.problems.push(Problem::Line { place, found: found.to_owned(), expected });
    }

    fn add_stanza(&mut self, file: &Path, stanza: Stanza) {
        let enabled = !matches!(
            stanza.get("enabled").to_ascii_lowercase().as_str(),
            "no" | "false" | "without" | "off" | "disable" | "0"
        );
        if stanza.fields.is_empty() || !enabled || !stanza.words("types").any(|kind| kind == "deb") {
            return;
        }
        if stanza.get("uris").is_empty() || stanza.get("suites").is_empty() {
            let found = format!("URIs {:?}, Suites {:?}", stanza.get("uris"), stanza.get("suites"));
            self.line_problem(file, stanza.line, &found, "a stanza with URIs and Suites");
            return;
        }
        let signed_by = Some(stanza.get("signed-by")).filter(|value| !value.is_empty());
        let signed_by = signed_by.map(|value| if value.contains('\n') { "embedded" } else { value });
        for uri in stanza.words("uris") {
            for suite in stanza.words("suites") {
                self.entries.push(Source {
                    uri: uri.to_owned(),
                    suite: suite.to_owned(),
                    components: stanza.words("components").map(str::to_owned).collect(),
                    signed_by: signed_by.map(str::to_owned),
                    place: Place { file: file.to_owned(), line: stanza.line },
                });
            }
        }
    }

    /// Replaces `mirror+file:` URIs, which Debian's cloud images use. Each names a file that lists URIs
    /// (apt-transport-mirror(1)); the first one in the list is used.
    fn follow_mirror_lists(&mut self) {
        for source in &mut self.entries {
            let Some(path) = source.uri.strip_prefix("mirror+file:") else { continue };
            let path = format!("/{}", path.trim_start_matches('/'));
            let Ok(text) = std::fs::read_to_string(path) else { continue };
            let first = text.lines().map(|line| without_comment(line).trim()).find_map(|line| next_word(line));
            if let Some((uri, _)) = first {
                source.uri = uri.to_owned();
            }
        }
    }
}

#[derive(Default)]
struct Stanza {
    line: usize,
    fields: Vec<(String, String)>,
}

impl Stanza {
    /// The value of a field. Of several, the last one wins, as in apt.
    fn get(&self, field: &str) -> &str {
        self.fields.iter().rev().find(|(name, _)| name == field).map_or("", |(_, value)| value)
    }

    fn words(&self, field: &str) -> impl Iterator<Item = &str> {
        self.get(field).split_whitespace()
    }
}

/// Whether apt reads a file. It ignores names with other suffixes or characters (apt.conf(5)).
fn apt_reads(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    (name.ends_with(".list") || name.ends_with(".sources"))
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// A `#` begins a comment, but not inside brackets.
fn without_comment(line: &str) -> &str {
    let mut inside = false;
    for (at, letter) in line.char_indices() {
        match letter {
            '[' => inside = line[at..].contains(']'),
            ']' => inside = false,
            '#' if !inside => return &line[..at],
            _ => {}
        }
    }
    line
}

/// The first word and the rest. Brackets and quotes may contain spaces, as in `cdrom:[Debian 13]/`.
fn next_word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let mut until = None;
    for (at, letter) in text.char_indices() {
        match until {
            Some(end) if letter == end => until = None,
            Some(_) => {}
            None if letter.is_whitespace() => return Some((&text[..at], text[at..].trim_start())),
            None if letter == '[' && at > 0 => until = Some(']'),
            None if letter == '"' => until = Some('"'),
            None => {}
        }
    }
    (!text.is_empty()).then_some((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Sources {
        let mut sources = Sources::default();
        sources.add_lines(Path::new("sources.list"), text);
        sources
    }

    fn stanzas(text: &str) -> Sources {
        let mut sources = Sources::default();
        sources.add_stanzas(Path::new("debian.sources"), text);
        sources
    }

    fn pairs(sources: &Sources) -> Vec<String> {
        sources
            .entries
            .iter()
            .map(|source| format!("{} {} {}", source.uri, source.suite, source.components.join("+")))
            .collect()
    }

    #[test]
    fn reads_one_line_entries() {
        let sources = lines(
            "# first\n\
             deb http://example.org/debian trixie main non-free-firmware # last\n\
             deb-src http://example.org/debian trixie main\n\
             deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg]   http://example.org/x  y z\n\
             deb cdrom:[Debian GNU/Linux 13 #1]/ trixie main\n\
             \tdeb\thttp://example.org/flat\t./\n",
        );
        assert_eq!(
            pairs(&sources),
            [
                "http://example.org/debian trixie main+non-free-firmware",
                "http://example.org/x y z",
                "cdrom:[Debian GNU/Linux 13 #1]/ trixie main",
                "http://example.org/flat ./ ",
            ]
        );
        assert_eq!(sources.entries[1].signed_by.as_deref(), Some("/usr/share/keyrings/a.gpg"));
        assert_eq!(sources.entries[1].place.to_string(), "sources.list:4");
        assert_eq!(sources.problems, []);
    }

    #[test]
    fn names_lines_that_it_cannot_read() {
        let sources = lines("rpm http://example.org/ a b\ndeb [arch=amd64 http://example.org/ a\ndeb http://a\ndeb\n");
        assert_eq!(sources.entries, []);
        let said: Vec<String> = sources.problems.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 4);
        assert!(said[0].starts_with("sources.list:1: found \"rpm http://example.org/ a b\", expected deb"), "{said:?}");
    }

    #[test]
    fn reads_stanzas_with_comments_and_continuation_lines() {
        let sources = stanzas(
            "# a comment\n\
             Types: deb deb-src\n\
             # in between\n\
             URIs: http://one.example.org/debian\n http://two.example.org/debian\n\
             suites: trixie\n# here too\n\ttrixie-updates\n\
             Components: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\
             \n\n\
             Types: deb-src\nURIs: http://source.example.org\nSuites: trixie\n\n\
             Enabled: no\nTypes: deb\nURIs: http://off.example.org\nSuites: trixie\n\n\
             Types: deb\nURIs: http://last.example.org\nSuites: x/\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n",
        );
        assert_eq!(
            pairs(&sources),
            [
                "http://one.example.org/debian trixie main",
                "http://one.example.org/debian trixie-updates main",
                "http://two.example.org/debian trixie main",
                "http://two.example.org/debian trixie-updates main",
                "http://last.example.org x/ ",
            ]
        );
        assert_eq!(sources.entries[0].place.line, 2);
        assert_eq!(sources.entries[4].signed_by.as_deref(), Some("embedded"));
        assert_eq!(sources.problems, []);
    }

    #[test]
    fn names_stanzas_that_lack_a_part() {
        let sources = stanzas("Types: deb\nURIs: http://a\n\n continued\nnonsense\nTypes: deb\n");
        assert_eq!(sources.entries, []);
        assert_eq!(sources.problems.len(), 4);
    }

    #[test]
    fn reads_the_files_that_apt_reads_in_its_order() {
        let apt = tempfile::tempdir().unwrap();
        let folder = apt.path().join("sources.list.d");
        std::fs::create_dir(&folder).unwrap();
        let list = apt.path().join("mirrors.list");
        std::fs::write(&list, "# mirrors\nhttp://listed.example.org/debian\tpriority:1\nhttp://b\n").unwrap();
        std::fs::write(apt.path().join("sources.list"), "deb http://first a b\n").unwrap();
        std::fs::write(folder.join("b.list"), format!("deb mirror+file:{} c d\n", list.display())).unwrap();
        std::fs::write(folder.join("a.sources"), "Types: deb\nURIs: http://second\nSuites: b\n").unwrap();
        std::fs::write(folder.join("c.list.disabled"), "deb http://not a b\n").unwrap();
        std::fs::write(folder.join("d e.list"), "deb http://not a b\n").unwrap();
        let sources = Sources::read(apt.path());
        let uris: Vec<&str> = sources.entries.iter().map(|source| source.uri.as_str()).collect();
        assert_eq!(uris, ["http://first", "http://second", "http://listed.example.org/debian"]);
        assert_eq!(sources.problems, []);
    }

    #[test]
    fn a_machine_without_apt_has_no_sources() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Sources::read(&folder.path().join("none")), Sources::default());
    }

    proptest::proptest! {
        #[test]
        fn neither_parser_panics(text in "(deb|Types:|URIs:| |\t|\\[|\\]|#|\"|\n|é|[a-z:/]{1,5}){0,60}") {
            lines(&text);
            stanzas(&text);
        }
    }
}
