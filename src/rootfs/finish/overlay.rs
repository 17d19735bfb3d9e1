//! The profile's own files, and its tar sets, laid over what the packages brought.

use crate::format::compression::decompress;
use crate::profile::{OverlayContent, OverlayFile, Profile, TarSet};
use crate::rootfs::dpkg::scripts::run_in;
use crate::rootfs::error::AssembleError;
use crate::rootfs::finish::accounts::Names;
use crate::rootfs::unpack::entry::{Entry, EntryKind};
use crate::rootfs::unpack::install::{Installer, Source};
use crate::rootfs::unpack::stage::{apply, stage_tar};
use crate::templates;
use crate::tree::{Fingerprint, Metadata, TreePath};
use crate::util::file_error::{At as _, FileError};
use crate::util::sha256;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

const HOMES: [&str; 2] = ["/root", "/home"];
const SYSUSERS: &str = "usr/bin/systemd-sysusers";

/// Opens a set whose bytes are those that the profile names.
pub fn open_set(set: &TarSet) -> Result<File, AssembleError> {
    let path = &set.path;
    // Before opening it: opening a pipe waits for a writer.
    if !fs::metadata(path).at("reading set", path)?.is_file() {
        let source = io::Error::other("found a folder, pipe, socket or device, expected a file");
        return Err(FileError::new("reading set", path, source).into());
    }
    let mut file = File::open(path).at("opening set", path)?;
    let (found, _) = sha256::of_reader(&mut file).at("reading set", path)?;
    let expected = set.sha256;
    if found != expected {
        let origin = set.origin.to_string();
        return Err(AssembleError::SetChecksum { path: path.clone(), origin, found, expected });
    }
    file.seek(SeekFrom::Start(0)).at("reading set", path)?;
    Ok(file)
}

/// Unpacks the sets in their order.
pub fn unpack_sets(installer: &mut Installer, sets: &[TarSet], staged: &Path) -> Result<(), AssembleError> {
    for (number, set) in sets.iter().enumerate() {
        // Once more, as it may have changed since the build began.
        let file = open_set(set)?;
        unpack_set(installer, set, file, &staged.join(format!("set-{number}"))).map_err(|error| {
            AssembleError::Set { path: set.path.clone(), origin: set.origin.to_string(), source: Box::new(error) }
        })?;
    }
    Ok(())
}

fn unpack_set(installer: &mut Installer, set: &TarSet, file: File, staged: &Path) -> Result<(), AssembleError> {
    let shown = set.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (_, reader) = decompress(file)?;
    let entries = stage_tar(&shown, reader, staged)?;
    installer.place(Source::Set(&shown), &entries)?;
    Ok(())
}

/// Whether a file declares users (sysusers.d(5)).
fn declares(file: &OverlayFile) -> bool {
    Path::new(&file.path).parent().is_some_and(|parent| parent.ends_with("sysusers.d"))
}

/// Lays over the root what declares the profile's own users, and makes them. The
/// templates among these files see the version without a build number, which is
/// not known before the ids of all users are.
pub fn declare_users(
    installer: &mut Installer,
    profile: &Profile,
    epoch: i64,
    staged: &Path,
) -> Result<(), AssembleError> {
    lay_over(installer, profile, &profile.version, epoch, staged, declares)?;
    // Packages call it for themselves; what is left is the profile's own.
    if installer.root.path().join(SYSUSERS).exists() {
        run_in(installer.root.path(), epoch, "/usr/bin/systemd-sysusers", &[])?;
    }
    Ok(())
}

/// Lays the rest of the profile's overlays over the root.
pub fn apply_overlays(
    installer: &mut Installer,
    profile: &Profile,
    version: &str,
    epoch: i64,
    staged: &Path,
) -> Result<(), AssembleError> {
    lay_over(installer, profile, version, epoch, staged, |file| !declares(file))
}

fn lay_over(
    installer: &mut Installer,
    profile: &Profile,
    version: &str,
    epoch: i64,
    staged: &Path,
    wanted: impl Fn(&OverlayFile) -> bool,
) -> Result<(), AssembleError> {
    let values = profile.template_values(version);
    let root = installer.root.path().to_owned();
    let (users, groups) = (Names::read(&root.join("etc/passwd")), Names::read(&root.join("etc/group")));
    let files = profile
        .overlays
        .iter()
        .flat_map(|overlay| &overlay.files)
        // Folders become these links with what is in them, once no program needs them.
        .filter(|file| !HOMES.contains(&file.path.as_str()) && wanted(file));
    for (number, file) in files.enumerate() {
        let entry = entry(file, &users, &groups, &values, epoch, &staged.join(format!("overlay-{number}")))?;
        installer.place(Source::Set("the profile's overlay"), &[entry])?;
    }
    Ok(())
}

fn entry(
    file: &OverlayFile,
    users: &Names,
    groups: &Names,
    values: &serde_json::Value,
    epoch: i64,
    staged: &Path,
) -> Result<Entry, AssembleError> {
    let refuse = |problem: String| AssembleError::Overlay { path: file.path.clone(), problem };
    let uid =
        users.get(&file.owner).ok_or_else(|| refuse(format!("its owner {:?} is no user of the image", file.owner)))?;
    let gid = groups
        .get(&file.group)
        .ok_or_else(|| refuse(format!("its group {:?} is no group of the image", file.group)))?;
    let metadata = Metadata::new(file.mode).with_owner(uid, gid).with_mtime(epoch);
    let write = |bytes: &[u8]| -> Result<EntryKind, AssembleError> {
        fs::write(staged, bytes).at("writing", staged)?;
        let opened = File::open(staged).at("opening", staged)?;
        apply(&opened, &metadata).at("setting owner and mode of", staged)?;
        let known = Fingerprint::of(bytes).at("hashing", staged)?;
        Ok(EntryKind::File { staged: staged.to_owned(), known: Arc::new(known) })
    };
    let kind = match &file.content {
        OverlayContent::Bytes(bytes) => write(bytes)?,
        OverlayContent::Template(template) => {
            write(templates::render(&template.text, &template.file, values)?.as_bytes())?
        }
        OverlayContent::Symlink(target) => EntryKind::Symlink(target.as_bytes().to_vec()),
        OverlayContent::Directory => EntryKind::Directory,
    };
    let path = TreePath::parse(&file.path).map_err(|error| refuse(error.to_string()))?;
    Ok(Entry { path, metadata, kind })
}
