//! From profile to medium: the stages, each a type that the next one consumes.

#![warn(missing_docs)]

mod assemble;
mod configure;
mod error;
mod fetch;
mod guest;
mod input_hash;
mod lockfile;
mod outdated;
mod pack;
mod publish;
mod rebuild;
mod request;
mod resolve;
mod speculate;
mod up_to_date;

pub use assemble::Assembled;
pub use configure::Configured;
pub use error::BuildError;
pub use fetch::Fetched;
pub use lockfile::{LockChoice, LockOutcome, Update};
pub use outdated::{Outdated, outdated};
pub use pack::Packed;
pub use request::BuildRequest;
pub use resolve::Resolved;

use crate::output::catalog::ImageName;
use crate::progress::Progress;
use crate::sandbox::Exit;
use appliance_contract::Sha256;
use std::ffi::OsString;
use std::path::PathBuf;

/// A published image.
#[derive(Debug, Clone)]
pub struct Built {
    /// The image's file or directory.
    pub path: PathBuf,
    /// Its name in the catalog.
    pub name: ImageName,
    /// It was there before, with the same bytes.
    pub was_there: bool,
    /// Bytes of the image.
    pub size: u64,
    /// SHA-256 of the image's file, or of a directory's checksum file.
    pub sha256: Sha256,
    /// How many packages are in the root.
    pub packages: usize,
    /// Bytes of the root file system image, where the kind has one.
    pub root_size: Option<u64>,
    /// Bytes of the initramfs, where the kind has one.
    pub initramfs_size: Option<u64>,
    /// Bytes of the root's content, and how many of them had been compressed by an earlier build.
    pub content: u64,
    /// See `content`.
    pub reused: u64,
    /// What became of the lock.
    pub lock: LockOutcome,
}

/// Makes the image that `request` asks for. To be called in the user namespace
/// ([`crate::sandbox::enter_user_namespace`]).
pub fn build(request: BuildRequest, progress: &dyn Progress) -> Result<Built, BuildError> {
    let _held = request.cache.hold();
    request.check()?;
    let resolved = request.resolve(progress)?;
    if let Some(existing) = resolved.find_existing(progress)? {
        return Ok(existing);
    }
    resolved.fetch(progress)?.configure(progress)?.assemble(progress)?.pack(progress)?.publish(progress)
}

/// Runs a program in the configured root of the profile, on the terminal; a shell where none is named. `begin` is called
/// once the root is there. To be called where [`build`] is.
pub fn shell(
    request: BuildRequest,
    program: &[OsString],
    progress: &dyn Progress,
    begin: impl FnOnce(),
) -> Result<Exit, BuildError> {
    let _held = request.cache.hold();
    request.check()?;
    let configured = request.resolve(progress)?.fetch(progress)?.configure(progress)?;
    begin();
    let shell = if configured.root.has("bin/bash") { "/bin/bash" } else { "/bin/sh" };
    let exit = match program.split_first() {
        Some((program, arguments)) => configured.root.run_attached(program, arguments)?,
        None => configured.root.run_attached(shell.as_ref(), &[])?,
    };
    Ok(exit)
}

/// Makes the profile's lock, or brings it up to date, and no image. As the ids of
/// users are in it, this configures the packages. To be called where [`build`] is.
pub fn lock(request: BuildRequest, progress: &dyn Progress) -> Result<LockOutcome, BuildError> {
    let _held = request.cache.hold();
    let resolved = request.resolve(progress)?;
    if resolved.whole {
        return Ok(LockOutcome::Unchanged);
    }
    resolved.request.check()?;
    Ok(resolved.fetch(progress)?.configure(progress)?.outcome().clone())
}
