//! The folder of files that a profile lays over the tree.

use super::error::{ProfileError, did_you_mean};
use super::section::{Located, Section, string, wrong_type};
use super::values;
use super::{Overlay, OverlayContent, OverlayFile, Template};
use crate::util::file_error::FileError;
use include_dir::Dir;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::de::DeValue;

/// Where `profiles/` is: on the build machine, or in the binary.
#[derive(Debug, Clone)]
pub(super) enum Folder<'a> {
    Host(PathBuf, &'a str),
    Embedded(&'static Dir<'static>, &'a str),
}

/// The ending of templates, which the file in the image loses.
const TEMPLATE: &str = ".hbs";
/// Files below folders of these names are programs.
const PROGRAM_FOLDERS: [&str; 5] = ["bin", "sbin", "libexec", "system-generators", "system-environment-generators"];

/// Reads `[files]` and the folder it names. No part of the result comes from
/// the checkout's own modes, owners or times, which a umask decides.
pub(super) fn read(mut files: Section<'_>, folder: &Folder<'_>) -> Result<Option<Overlay>, ProfileError> {
    let named = files.parsed("folder", values::name)?;
    let directories = files.list("directories", values::path)?;
    let mut modes = Vec::new();
    for (path, item) in files.entries("modes")? {
        let name = format!("files.modes.{:?}", path.value);
        let said = match &item.value {
            DeValue::String(_) => {
                let text = string(item, &name)?;
                let mode = values::mode(&text.value).map_err(|expected| {
                    text.refuse(format!("{name}: found {:?}", text.value), format!("expected {expected}"), None)
                })?;
                Said { mode: Some(mode), owner: None, group: None }
            }
            DeValue::Table(_) => {
                let mut table = super::section::item_section(item, &name)?;
                let said = Said {
                    mode: table.parsed("mode", values::mode)?.map(|found| found.value),
                    owner: table.parsed("owner", values::account)?.map(|found| found.value),
                    group: table.parsed("group", values::account)?.map(|found| found.value),
                };
                table.finish()?;
                said
            }
            _ => return Err(wrong_type(&item, &name, "an octal mode such as \"0640\", or a table")),
        };
        modes.push((path, said));
    }
    let mut links = Vec::new();
    for (path, item) in files.entries("links")? {
        let target = string(item, &format!("files.links.{:?}", path.value))?;
        values::path(&path.value)
            .map_err(|expected| path.refuse("a link's path", format!("expected {expected}"), None))?;
        if target.value.is_empty() || target.value.contains('\0') {
            return Err(target.refuse("a link's target", "expected a path", None));
        }
        links.push((path.value, target.value));
    }
    files.finish()?;

    let mut found = BTreeMap::new();
    folder.read(named.as_ref(), &mut found)?;
    for path in directories.into_iter().flatten() {
        found.insert(path.value, OverlayContent::Directory);
    }
    for (path, target) in links {
        found.insert(path, OverlayContent::Symlink(target));
    }
    let mut overlay: BTreeMap<String, OverlayFile> =
        found.into_iter().map(|(path, content)| (path.clone(), file(path, content))).collect();
    for (path, said) in modes {
        let Some(file) = overlay.get_mut(&path.value) else {
            let help = did_you_mean(&path.value, overlay.keys().map(String::as_str));
            return Err(path.refuse("files.modes names what the folder does not hold", "not there", help));
        };
        file.mode = said.mode.unwrap_or(file.mode);
        file.owner = said.owner.unwrap_or_else(|| file.owner.clone());
        file.group = said.group.unwrap_or_else(|| file.group.clone());
    }
    Ok((!overlay.is_empty()).then(|| Overlay { files: overlay.into_values().collect() }))
}

struct Said {
    mode: Option<u16>,
    owner: Option<String>,
    group: Option<String>,
}

fn file(path: String, content: OverlayContent) -> OverlayFile {
    let among_programs = path.rsplit('/').skip(1).any(|parent| PROGRAM_FOLDERS.contains(&parent));
    let mode = match &content {
        OverlayContent::Symlink(_) => 0o777,
        OverlayContent::Directory => 0o755,
        _ if among_programs => 0o755,
        _ => 0o644,
    };
    OverlayFile { path, content, mode, owner: "root".to_owned(), group: "root".to_owned() }
}

impl Folder<'_> {
    /// Reads the folder, by default the one of the profile's own name; only one that was named must be there.
    fn read(
        &self,
        named: Option<&Located<String>>,
        found: &mut BTreeMap<String, OverlayContent>,
    ) -> Result<(), ProfileError> {
        let missing = |named: &Located<String>, at: &str| {
            named.refuse(format!("files.folder: {at} is not there"), "no such folder", None)
        };
        match self {
            Self::Host(profiles, name) => {
                let path = profiles.join(named.map_or(*name, |named| &named.value));
                match (path.is_dir(), named) {
                    (true, _) => host_folder(&path, "", found),
                    (false, Some(named)) => Err(missing(named, &path.display().to_string())),
                    (false, None) => Ok(()),
                }
            }
            Self::Embedded(profiles, name) => {
                let wanted = named.map_or(*name, |named| &named.value);
                match (profiles.get_dir(wanted), named) {
                    (Some(dir), _) => embedded_folder(dir, wanted, found),
                    (None, Some(named)) => Err(missing(named, wanted)),
                    (None, None) => Ok(()),
                }
            }
        }
    }
}

fn host_folder(folder: &Path, at: &str, found: &mut BTreeMap<String, OverlayContent>) -> Result<(), ProfileError> {
    let failed = |source| ProfileError::from(FileError::new("reading", folder.to_owned(), source));
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let host = entry.map_err(failed)?.path();
        let failed = |source| ProfileError::from(FileError::new("reading", host.clone(), source));
        let Some(name) = host.file_name().and_then(|name| name.to_str()) else {
            return Err(failed(std::io::Error::other("the name is not UTF-8")));
        };
        let path = format!("{at}/{name}");
        let kind = std::fs::symlink_metadata(&host).map_err(failed)?.file_type();
        if kind.is_dir() {
            host_folder(&host, &path, found)?;
        } else if kind.is_symlink() {
            let target = std::fs::read_link(&host).map_err(failed)?;
            let Some(target) = target.to_str() else {
                return Err(failed(std::io::Error::other("the link's target is not UTF-8")));
            };
            found.insert(path, OverlayContent::Symlink(target.to_owned()));
        } else if kind.is_file() {
            insert(path, std::fs::read(&host).map_err(failed)?, &host, found)?;
        } else {
            return Err(failed(std::io::Error::other("neither a file, a folder nor a link")));
        }
    }
    Ok(())
}

fn embedded_folder(
    dir: &'static Dir<'static>,
    top: &str,
    found: &mut BTreeMap<String, OverlayContent>,
) -> Result<(), ProfileError> {
    for folder in dir.dirs() {
        embedded_folder(folder, top, found)?;
    }
    for file in dir.files() {
        // Paths of embedded files begin at `profiles/`.
        let Some(path) = file.path().strip_prefix(top).ok().and_then(Path::to_str) else { continue };
        let shown = Path::new("profiles").join(file.path());
        insert(format!("/{path}"), file.contents().to_vec(), &shown, found)?;
    }
    Ok(())
}

fn insert(
    path: String,
    bytes: Vec<u8>,
    host: &Path,
    found: &mut BTreeMap<String, OverlayContent>,
) -> Result<(), ProfileError> {
    let failed = |problem: String| {
        ProfileError::from(FileError::new("reading", host.to_owned(), std::io::Error::other(problem)))
    };
    let (path, content) = match path.strip_suffix(TEMPLATE) {
        Some(path) => {
            let text = String::from_utf8(bytes).map_err(|_| failed("the template is not UTF-8".to_owned()))?;
            let file = host.display().to_string();
            (path.to_owned(), OverlayContent::Template(Template { file, text }))
        }
        None => (path, OverlayContent::Bytes(bytes)),
    };
    if found.contains_key(&path) {
        return Err(failed(format!("{path} is there twice, as a file and as a template")));
    }
    found.insert(path, content);
    Ok(())
}
