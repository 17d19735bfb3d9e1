//! Stages archives: contents are decompressed to files, the rest is kept in memory.

use crate::format::tar::{self, Limits, TarError};
use crate::rootfs::error::AssembleError;
use crate::rootfs::unpack::entry::{Entry, EntryKind};
use crate::tree::{Fingerprint, Fingerprinter, Metadata};
use crate::util::file_error::{At as _, FileError};
use appliance_contract::causes::WithCauses as _;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// The user namespace holds ids below this.
const IDS: u32 = 65_536;

/// Reads a tar archive; contents go to files in `folder`, which is made.
pub fn stage_tar(archive: &str, reader: impl Read, folder: &Path) -> Result<Vec<Entry>, AssembleError> {
    fs::create_dir(folder).at("making", folder)?;
    let mut entries = Vec::new();
    let visited = tar::entries(reader, Limits::default(), |entry| -> Result<(), Stopped> {
        let tar::Entry { path, metadata, kind } = entry;
        let refuse = |problem: String| {
            Stopped::Ours(AssembleError::Entry { archive: archive.to_owned(), path: path.to_string(), problem })
        };
        let (uid, gid) = (metadata.uid, metadata.gid);
        if uid >= IDS || gid >= IDS {
            return Err(refuse(format!("belongs to {uid}:{gid}, expected ids below {IDS}")));
        }
        let kind = match kind {
            tar::EntryKind::Directory => EntryKind::Directory,
            tar::EntryKind::File { content, .. } => {
                let file = folder.join(entries.len().to_string());
                let known = Arc::new(write(&file, content, &metadata, &refuse)?);
                EntryKind::File { staged: file, known }
            }
            tar::EntryKind::HardLink(target) => EntryKind::HardLink(target),
            tar::EntryKind::Symlink(target) => EntryKind::Symlink(target),
            tar::EntryKind::CharacterDevice { major, minor } => EntryKind::CharacterDevice { major, minor },
            tar::EntryKind::BlockDevice { major, minor } => EntryKind::BlockDevice { major, minor },
            tar::EntryKind::Fifo => EntryKind::Fifo,
        };
        entries.push(Entry { path, metadata, kind });
        Ok(())
    });
    match visited {
        Ok(()) => Ok(entries),
        Err(Stopped::Ours(error)) => Err(error),
        Err(Stopped::Tar(source)) => Err(AssembleError::Tar { archive: archive.to_owned(), source }),
    }
}

enum Stopped {
    Tar(TarError),
    Ours(AssembleError),
}

impl From<TarError> for Stopped {
    fn from(error: TarError) -> Self {
        Self::Tar(error)
    }
}

fn write(
    path: &PathBuf,
    from: &mut dyn Read,
    metadata: &Metadata,
    refuse: &impl Fn(String) -> Stopped,
) -> Result<Fingerprint, Stopped> {
    let failed =
        |attempt| move |source| Stopped::Ours(AssembleError::from(FileError::new(attempt, path.clone(), source)));
    let mut file = File::create_new(path).map_err(failed("making"))?;
    let mut taken = Fingerprinter::default();
    let mut buffer = [0; 1 << 16];
    loop {
        // Apart, so that a broken archive is told from a full disk.
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(refuse(format!("cannot be read: {}", error.with_causes()))),
        };
        taken.update(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(failed("writing"))?;
    }
    apply(&file, metadata).map_err(failed("setting owner and mode of"))?;
    Ok(taken.finish())
}

/// Gives an open file its metadata but for extended attributes.
pub fn apply(file: &File, metadata: &Metadata) -> io::Result<()> {
    // Changing the owner clears set-id bits, so the mode comes after.
    fchown(file, Some(metadata.uid), Some(metadata.gid))?;
    file.set_permissions(Permissions::from_mode(u32::from(metadata.mode)))?;
    let seconds = u64::try_from(metadata.mtime).unwrap_or(0);
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH);
    file.set_times(FileTimes::new().set_modified(time).set_accessed(time))
}

/// Sets extended attributes; returns those that a user namespace may not set
/// (`trusted.*`, say), for the tree to carry.
pub fn set_xattrs(path: &Path, metadata: &Metadata) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut left = BTreeMap::new();
    for (name, value) in &metadata.xattrs {
        if xattr::set(path, OsStr::from_bytes(name), value).is_err() {
            left.insert(name.clone(), value.clone());
        }
    }
    left
}
