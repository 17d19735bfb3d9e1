//! Copies what was planned into an empty folder, which becomes a layer of `/etc`.

use super::plan::{Plan, What};
use nix::fcntl::OFlag;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Why a plan was not carried out.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum ApplyError {
    #[error("laying {path} over the image's /etc: {error}")]
    Write { path: PathBuf, error: io::Error },
    #[error("reading {path} of the config: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error("{path} of the config changed while it was read: found {found} bytes, expected {expected}")]
    Changed { path: PathBuf, found: u64, expected: u64 },
}

/// Makes `target` what `plan` says. `target` holds nothing but what this function
/// made, and the plan has nothing below a link: no path leads out of it.
pub fn apply(
    plan: &Plan,
    source: &Path,
    target: &Path,
    chown: &dyn Fn(&Path, u32, u32) -> io::Result<()>,
) -> Result<(), ApplyError> {
    let place = |path: &str| if path.is_empty() { target.to_owned() } else { target.join(path) };
    for (path, step) in &plan.steps {
        let to = place(path);
        let failed = |error| ApplyError::Write { path: to.clone(), error };
        match &step.what {
            // Writable while it is filled, whatever its mode shall be.
            What::Folder if path.is_empty() => {
                DirBuilder::new().recursive(true).mode(0o700).create(&to).map_err(failed)?
            }
            What::Folder => DirBuilder::new().mode(0o700).create(&to).map_err(failed)?,
            What::File { size } => copy(&source.join(path), &to, *size)?,
            What::Link { target } => symlink(target, &to).map_err(failed)?,
        }
        chown(&to, step.uid, step.gid).map_err(failed)?;
        if matches!(step.what, What::File { .. }) {
            fs::set_permissions(&to, Permissions::from_mode(step.mode)).map_err(failed)?;
        }
    }
    for (path, step) in plan.steps.iter().rev().filter(|(_, step)| step.what == What::Folder) {
        let to = place(path);
        let failed = |error| ApplyError::Write { path: to.clone(), error };
        fs::set_permissions(&to, Permissions::from_mode(step.mode)).map_err(failed)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, size: u64) -> Result<(), ApplyError> {
    let reading = |error| ApplyError::Read { path: from.to_owned(), error };
    let writing = |error| ApplyError::Write { path: to.to_owned(), error };
    let open = OpenOptions::new().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(from);
    let input = open.map_err(reading)?;
    let metadata = input.metadata().map_err(reading)?;
    let mut output: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(writing)?;
    // One byte more than planned, so that a file that grew is noticed and memory stays bounded.
    let found = io::copy(&mut input.take(size + 1), &mut output).map_err(reading)?;
    if found != size {
        return Err(ApplyError::Changed { path: from.to_owned(), found, expected: size });
    }
    let modified = metadata.modified().map_err(reading)?;
    output.set_modified(modified).map_err(writing)
}
