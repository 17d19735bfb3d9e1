//! A package, read once: control files into memory, data to staged files.

use crate::cache::{Found, Unpacked};
use crate::packages::LockedPackage;
use crate::packages::deb::{ControlFile, Deb, DebError};
use crate::rootfs::dpkg::control::Control;
use crate::rootfs::error::AssembleError;
use crate::rootfs::unpack::entry::{self, Entry, EntryKind};
use crate::rootfs::unpack::package_files::Files;
use crate::rootfs::unpack::stage::stage_tar;
use crate::util::file_error::At as _;
use md5::{Digest, Md5};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

#[derive(Debug, Clone)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub architecture: String,
    /// `Multi-Arch: same`: dpkg names its files with the architecture.
    same: bool,
    pub control: Control,
    /// Scripts and lists, by their names in the archive; without `control`.
    pub control_files: BTreeMap<String, ControlFile>,
    /// Paths without a leading slash.
    pub conffiles: BTreeSet<Vec<u8>>,
    pub entries: Vec<Entry>,
    /// An earlier build had decompressed it.
    pub kept: bool,
}

impl Package {
    /// Reads what the package that `locked` names says of itself: it has no entries yet.
    pub fn open(locked: &LockedPackage, files: &Files) -> Result<Self, AssembleError> {
        let failed = |error| deb_failed(locked, error);
        let deb = Deb::open(files.of(locked)?).map_err(failed)?;
        let mut control_files = deb.control().map_err(failed)?;
        let control = control_files.remove("control").ok_or_else(|| AssembleError::Archive {
            archive: locked.name.clone(),
            problem: "found no control file in control.tar".to_owned(),
        })?;
        deb.check(&control, locked).map_err(failed)?;
        let control = Control::new(String::from_utf8_lossy(&control.bytes).into_owned());
        let same = control.field("Multi-Arch").as_deref() == Some("same");
        let conffiles = conffiles(control_files.get("conffiles").map_or(&[], |file| file.bytes.as_slice()));
        let (name, version) = (locked.name.clone(), locked.version.clone());
        let (architecture, entries) = (locked.architecture.clone(), Vec::new());
        Ok(Self { name, version, architecture, same, control, control_files, conffiles, entries, kept: false })
    }

    /// Reads what the package holds; the contents of its files go to `folder`.
    pub fn read(mut self, locked: &LockedPackage, files: &Files, folder: &Path) -> Result<Self, AssembleError> {
        let archive = format!("{} {}", locked.name, locked.version);
        let kept = files.unpacked().and_then(|unpacked| stage_kept(unpacked, &archive, locked, folder));
        self.kept = kept.is_some();
        self.entries = match kept {
            Some(entries) => entries,
            None => stage_deb(&archive, locked, files, folder)?,
        };
        if !self.control_files.contains_key("md5sums") {
            let bytes = self.sums()?;
            self.control_files.insert("md5sums".to_owned(), ControlFile { bytes, mode: 0o644 });
        }
        Ok(self)
    }

    /// The name of the package where two of it could be told apart by architecture alone.
    pub fn database_name(&self) -> String {
        if self.same { format!("{}:{}", self.name, self.architecture) } else { self.name.clone() }
    }

    pub fn essential(&self) -> bool {
        self.control.field("Essential").as_deref() == Some("yes")
    }

    /// What dpkg writes where a package brings no `md5sums`.
    fn sums(&self) -> Result<Vec<u8>, AssembleError> {
        let mut lines = Vec::new();
        for entry in &self.entries {
            let path = entry.path.to_bytes();
            let path = &path[1..];
            if let EntryKind::File { staged: file, .. } = &entry.kind
                && !self.conffiles.contains(path)
            {
                let content = fs::read(file).at("reading", file)?;
                lines.extend_from_slice(hex::encode(Md5::digest(content)).as_bytes());
                lines.extend_from_slice(b"  ");
                lines.extend_from_slice(path);
                lines.push(b'\n');
            }
        }
        Ok(lines)
    }
}

/// What an earlier build decompressed, if it is what it was then.
fn stage_kept(unpacked: &Unpacked, archive: &str, locked: &LockedPackage, folder: &Path) -> Option<Vec<Entry>> {
    let Found { archive: kept, hash } = unpacked.get(locked.sha256)?;
    let entries = stage_tar(archive, kept, folder).ok().filter(|entries| entry::digest(entries) == hash);
    if entries.is_none() {
        unpacked.forget(locked.sha256);
        let _ = fs::remove_dir_all(folder);
    }
    entries
}

fn stage_deb(archive: &str, locked: &LockedPackage, files: &Files, folder: &Path) -> Result<Vec<Entry>, AssembleError> {
    let failed = |error| deb_failed(locked, error);
    let data = Deb::open(files.of(locked)?).map_err(failed)?.data().map_err(failed)?;
    let Some(unpacked) = files.unpacked() else { return stage_tar(archive, data, folder) };
    let mut keeping = unpacked.keep(locked.sha256, data, folder.with_extension("tar"));
    let entries = stage_tar(archive, &mut keeping, folder)?;
    keeping.finish(entry::digest(&entries));
    Ok(entries)
}

fn deb_failed(locked: &LockedPackage, source: DebError) -> AssembleError {
    AssembleError::Deb { archive: format!("{} {}", locked.name, locked.version), source: Box::new(source) }
}

/// The paths of a `conffiles` file; those that an upgrade would remove are not in the package.
fn conffiles(text: &[u8]) -> BTreeSet<Vec<u8>> {
    text.split(|&byte| byte == b'\n').filter_map(|line| Some(line.trim_ascii().strip_prefix(b"/")?.to_vec())).collect()
}
