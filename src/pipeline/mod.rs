//! The stages of a build, from profile to published image. Each stage is a type that the next one consumes.

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
    /// It existed before, with the same bytes.
    pub unchanged: bool,
    /// Bytes of the image.
    pub size: u64,
    /// SHA-256 of the image's file, or of a directory's checksum file.
    pub sha256: Sha256,
    /// How many packages are in the root.
    pub packages: usize,
    /// Bytes of the root file system image, if this kind of output has one.
    pub root_size: Option<u64>,
    /// Bytes of the initramfs, if this kind of output has one.
    pub initramfs_size: Option<u64>,
    /// Bytes of the root's content before compression.
    pub content: u64,
    /// Bytes of `content` that came from the block cache.
    pub reused: u64,
    /// Whether the build changed the lock.
    pub lock: LockOutcome,
}

/// Builds the image that `request` describes. Must run in the user namespace
/// ([`crate::sandbox::enter_user_namespace`]).
pub fn build(request: BuildRequest, progress: &dyn Progress) -> Result<Built, BuildError> {
    let _held = request.cache.lock_shared();
    request.check()?;
    let resolved = request.resolve(progress)?;
    if let Some(existing) = resolved.find_existing(progress)? {
        return Ok(existing);
    }
    resolved.fetch(progress)?.configure(progress)?.assemble(progress)?.pack(progress)?.publish(progress)
}

/// Runs a program in the configured root of the profile, on the terminal. The default is a shell. `begin` is called
/// once the root is ready. Must run in the user namespace, like [`build`].
pub fn shell(
    request: BuildRequest,
    program: &[OsString],
    progress: &dyn Progress,
    begin: impl FnOnce(),
) -> Result<Exit, BuildError> {
    let _held = request.cache.lock_shared();
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

/// Makes or updates the profile's lock without building an image. The lock contains the ids of users, so the packages
/// are configured. Must run in the user namespace, like [`build`].
pub fn lock(request: BuildRequest, progress: &dyn Progress) -> Result<LockOutcome, BuildError> {
    let _held = request.cache.lock_shared();
    let resolved = request.resolve(progress)?;
    if resolved.lock_unchanged {
        return Ok(LockOutcome::Unchanged);
    }
    resolved.request.check()?;
    Ok(resolved.fetch(progress)?.configure(progress)?.outcome().clone())
}
