//! The systemd generator `appliance-guests`: `domUs/*/guest.toml` → units. It only
//! writes units; what needs the running system is checked as each unit starts.

mod units;

#[cfg(test)]
mod tests;

pub use units::{Content, UnitFile, plan};

use crate::guests::definitions;
use crate::guests::hypervisor::Hypervisor;
use crate::system::boot_record::{self, BootRecordError};
use appliance_contract::guest;
use appliance_contract::marker::Role;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The program's name among the generators.
pub const PROGRAM: &str = "appliance-guests";

/// What the generator could not do.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum GeneratorError {
    #[error("found {found} arguments, expected three folders, as systemd gives its generators")]
    Arguments { found: usize },
    #[error("{0}; no guest is started")]
    Record(BootRecordError),
    #[error("reading {path}: {error}; no guest is started")]
    Guests { path: PathBuf, error: io::Error },
    #[error("writing {path}: {error}")]
    Write { path: PathBuf, error: io::Error },
}

/// Does the generator's work for the machine whose root is `root`; gives what went
/// wrong, none of which keeps the rest from being done.
pub fn run(root: &Path, arguments: &[PathBuf]) -> Vec<GeneratorError> {
    let [folder, _early, _late] = arguments else {
        return vec![GeneratorError::Arguments { found: arguments.len() }];
    };
    match find(root) {
        Ok(files) => files.iter().filter_map(|file| write(folder, file).err()).collect(),
        Err(error) => vec![error],
    }
}

fn find(root: &Path) -> Result<Vec<UnitFile>, GeneratorError> {
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    let record = match boot_record::read(root) {
        // Booted by another agent, or by none.
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        record => record.map_err(GeneratorError::Record)?,
    };
    if record.role != Role::Host {
        return Ok(Vec::new());
    }
    let path = at(guest::DIRECTORY);
    let folders = definitions::read(&path).map_err(|error| GeneratorError::Guests { path, error })?;
    Ok(plan(&definitions::check_all(&folders), Hypervisor::booted(root)))
}

fn write(folder: &Path, file: &UnitFile) -> Result<(), GeneratorError> {
    let path = folder.join(&file.path);
    let parent = path.parent().unwrap_or(folder);
    let written = fs::create_dir_all(parent).and_then(|()| match &file.content {
        Content::Text(text) => fs::write(&path, text),
        Content::Link(target) => symlink(target, &path),
    });
    written.map_err(|error| GeneratorError::Write { path, error })
}
