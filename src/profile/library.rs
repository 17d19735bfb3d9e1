//! Where profiles are found: in the user's `profiles/`, then in the binary.

use super::draft::Draft;
use super::error::{Place, ProfileError, Source, did_you_mean};
use super::overlay::Folder;
use super::section::{Located, Section, string, wrong_type};
use super::{Profile, values};
use crate::embedded;
use crate::util::file_error::FileError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::de::DeValue;

/// All profiles that can be named.
#[derive(Debug, Clone)]
pub struct Library {
    folder: PathBuf,
}

/// Where a profile's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Home {
    /// In the user's directory of profiles.
    Folder,
    /// In this program.
    Embedded,
}

impl std::fmt::Display for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Folder => "folder",
            Self::Embedded => "embedded",
        })
    }
}

impl Library {
    /// The profiles of `root/profiles`, and behind them the embedded ones.
    pub fn new(root: &Path) -> Self {
        Self { folder: root.join("profiles") }
    }

    /// The name of every profile and where it is found.
    pub fn names(&self) -> Result<BTreeMap<String, Home>, ProfileError> {
        let mut names = BTreeMap::new();
        for file in embedded::PROFILES.files() {
            names.extend(profile_name(file.path()).map(|name| (name, Home::Embedded)));
        }
        let failed = |source| ProfileError::from(FileError::new("reading", self.folder.clone(), source));
        match std::fs::read_dir(&self.folder) {
            Ok(entries) => {
                for entry in entries {
                    let path = entry.map_err(failed)?.path();
                    names.extend(profile_name(&path).map(|name| (name, Home::Folder)));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        Ok(names)
    }

    /// Reads a profile with all that it extends, and the guests that it holds.
    pub fn load(&self, name: &str) -> Result<Profile, ProfileError> {
        let (mut draft, place) = self.draft(name, None)?;
        // Left to a guest's draft, which refuses them.
        let guests = if draft.is_guest() { None } else { draft.guests.take() }.unwrap_or_default();
        let mut profile = draft.finish(name, &place)?;
        for (at, asked) in guests.iter().enumerate() {
            if guests[..at].iter().any(|before| before.value == asked.value) {
                return Err(asked.refuse(format!("guests names {:?} twice", asked.value), "was named before", None));
            }
            profile.guests.push(self.guest(asked)?);
        }
        Ok(profile)
    }

    /// The profile of a guest image that a host's asks for.
    fn guest(&self, asked: &Located<String>) -> Result<Profile, ProfileError> {
        let (draft, place) = self.draft(&asked.value, Some(asked))?;
        if !draft.is_guest() {
            let message = format!("guests: {:?} is the profile of a host", asked.value);
            return Err(asked.refuse(message, "expected one of kind = \"guest\"", None));
        }
        draft.finish(&asked.value, &place)
    }

    fn draft(&self, name: &str, asked: Option<&Located<String>>) -> Result<(Draft, Place), ProfileError> {
        let mut line = Line { library: self, draft: Draft::default(), chain: Vec::new(), done: Vec::new() };
        let place = line.read(name, asked.map(|asked| ("guests", asked)))?;
        Ok((line.draft, place))
    }

    fn open(&self, name: &str) -> Result<(Source, Home), ProfileError> {
        let file = format!("{name}.toml");
        let path = self.folder.join(&file);
        // A name is no path: what is not a name cannot be found.
        let known_form = values::name(name).is_ok();
        match crate::util::bounded_read::read_user_text(&path) {
            Ok(text) if known_form => {
                return Ok((Source::new(path.display().to_string(), text), Home::Folder));
            }
            Err(source) if known_form && source.kind() != std::io::ErrorKind::NotFound => {
                return Err(ProfileError::from(FileError::new("reading", path, source)));
            }
            _ => {}
        }
        match embedded::PROFILES.get_file(&file).and_then(|file| file.contents_utf8()) {
            Some(text) => Ok((Source::new(format!("profiles/{file}"), text), Home::Embedded)),
            None => {
                let known: Vec<String> = self.names()?.into_keys().collect();
                let help = did_you_mean(name, known.iter().map(String::as_str));
                Err(ProfileError::Unknown { name: name.to_owned(), known, help })
            }
        }
    }
}

fn profile_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(".toml")?;
    values::name(name).ok()
}

/// A profile's line of descent, while it is read.
struct Line<'a> {
    library: &'a Library,
    draft: Draft,
    /// Profiles whose parents are being read.
    chain: Vec<String>,
    /// Profiles that are in the draft; a common ancestor counts once.
    done: Vec<String>,
}

impl Line<'_> {
    /// `asked`: the key and the name in it that lead here.
    fn read(&mut self, name: &str, asked: Option<(&str, &Located<String>)>) -> Result<Place, ProfileError> {
        let (source, home) = match (self.library.open(name), asked) {
            (Err(ProfileError::Unknown { name, known, help }), Some((key, asked))) => {
                let label = format!("expected one of {}", known.join(", "));
                return Err(asked.refuse(format!("{key}: profile {name:?} is not known"), label, help));
            }
            (opened, _) => opened?,
        };
        let source = Arc::new(source);
        let text = Arc::clone(&source.text);
        let mut file = Section::parse(&source, &text)?;
        if let Some(said) = file.parsed("name", values::name)?
            && said.value != name
        {
            let help = Some("rename the file, or leave the key out".to_owned());
            return Err(said.refuse(format!("name: found {:?}", said.value), format!("the file is {name}.toml"), help));
        }
        self.chain.push(name.to_owned());
        for parent in parents(&mut file)? {
            if let Some(at) = self.chain.iter().position(|above| *above == parent.value) {
                let circle = [&self.chain[at..], std::slice::from_ref(&parent.value)].concat().join(" → ");
                return Err(parent.refuse(
                    format!("profiles extend each other in a circle: {circle}"),
                    "leads back",
                    None,
                ));
            }
            if !self.done.contains(&parent.value) {
                self.read(&parent.value, Some(("extends", &parent)))?;
            }
        }
        let folder = match home {
            Home::Folder => Folder::Host(self.library.folder.clone(), name),
            Home::Embedded => Folder::Embedded(&embedded::PROFILES, name),
        };
        self.draft.apply(file, &folder, &self.library.folder)?;
        self.chain.pop();
        self.done.push(name.to_owned());
        Ok(Place { source, span: 0..0 })
    }
}

/// `extends`: one name or several.
fn parents(file: &mut Section<'_>) -> Result<Vec<Located<String>>, ProfileError> {
    match file.item("extends") {
        None => Ok(Vec::new()),
        Some(item) => match item.value {
            DeValue::String(_) => Ok(vec![string(item, "extends")?]),
            DeValue::Array(values) => {
                let source = item.place.source;
                values.into_iter().map(|value| string(super::section::locate(&source, value), "extends")).collect()
            }
            _ => Err(wrong_type(&item, "extends", "a profile's name or a list of names")),
        },
    }
}
