//! The flags of the commands that build, and the request that they make.

use crate::cli::flags::common::Common;
use crate::cli::flags::environment::source_date_epoch;
use crate::cli::flags::lock::WhichLock;
use crate::cli::flags::sources::{self, PackageSources, Sources};
use crate::cli::report::failure::Failure;
use applbuild::output::Output;
use applbuild::pipeline::BuildRequest;
use applbuild::profile::Library;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The target of a build: profile, sources, output and lock.
#[derive(Debug, clap::Args)]
pub struct Target {
    /// The profile to build
    #[arg(long, value_name = "NAME")]
    pub profile: String,
    #[command(flatten)]
    pub sources: Sources,
    /// Directory that gets the image and its records [default: images/ in the root directory]
    #[arg(short, long, value_name = "PATH", value_parser = directory)]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub lock: WhichLock,
}

#[derive(Debug, clap::Args)]
#[group(id = "build")]
pub struct Arguments {
    #[command(flatten)]
    pub target: Target,
    /// Overwrite an image of the same version
    #[arg(long)]
    pub replace: bool,
    /// Compression level of the root: 1 to 22 for zstd, 1 to 9 for xz and gzip [default: from the profile]
    #[arg(long, value_name = "N")]
    pub level: Option<u32>,
    /// Print the time of each stage, and write the page NAME-VERSION.timings.html next to the image
    #[arg(long)]
    pub timings: bool,
    /// Build twice in different environments and compare; exit code 4 if the two images differ
    #[arg(long, alias = "check")]
    pub reproduce: bool,
}

/// Parses `--output`. An image is several files, so the path must be of a directory.
fn directory(text: &str) -> Result<PathBuf, String> {
    match Path::new(text) {
        path if path.exists() && !path.is_dir() => {
            Err("found a file, expected a directory for the image's files".to_owned())
        }
        path => Ok(path.to_owned()),
    }
}

/// The request for an output of this kind.
pub fn request(common: &Common, target: Target, kind: &'static dyn Output) -> Result<BuildRequest, Failure> {
    let profile = Library::new(&common.root).load(&target.profile)?;
    let lock = target.lock.choose(common, &profile);
    let PackageSources { archives, keyring, cache, client, allow_older } = target.sources.find(&profile)?;
    Ok(BuildRequest {
        profile,
        kind,
        archives,
        keyring,
        cache,
        client: Arc::new(client),
        lock,
        allow_older,
        now: sources::now(),
        source_date_epoch: source_date_epoch()?,
        templates: Some(common.root.join("templates")).filter(|folder| folder.is_dir()),
        output: target.output.unwrap_or_else(|| common.root.join("images")),
        replace: false,
    })
}
