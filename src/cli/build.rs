//! What the commands that build images have in common.

use super::check::{self, First};
use super::failure::Failure;
use super::lock::{self, WhichLock};
use super::progress::{Ended, Reporter};
use super::sources::{self, Place, Sources};
use super::{Common, output, timings};
use applbuild::output::Output;
use applbuild::pipeline::{self, BuildRequest, Built};
use applbuild::profile::{Library, Profile};
use applbuild::sandbox;
use indicatif::HumanBytes;
use serde_json::json;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is built, of what.
#[derive(Debug, clap::Args)]
pub struct Target {
    /// The profile to build
    #[arg(long, value_name = "NAME")]
    pub profile: String,
    #[command(flatten)]
    sources: Sources,
    /// Directory of images [default: images/ in the root folder]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    lock: WhichLock,
}

#[derive(Debug, clap::Args)]
#[group(id = "build")]
pub struct Arguments {
    #[command(flatten)]
    pub target: Target,
    /// Overwrite an image of the same version
    #[arg(long)]
    replace: bool,
    /// How hard to compress the root: 1 to 22 for zstd, to 9 for xz and gzip [default: as the profile says]
    #[arg(long, value_name = "N")]
    level: Option<u32>,
    /// Tell where the time went: a table, and a page NAME-VERSION.timings.html beside the image
    #[arg(long)]
    timings: bool,
    /// Build it twice, with everything varied that must not matter, and compare; exit code 4 if the two differ
    #[arg(long, alias = "check")]
    reproduce: bool,
}

impl Arguments {
    /// What a second build has to know of this one.
    fn first(&self, common: &Common, kind: &'static dyn Output) -> Result<First, Failure> {
        let profile = Library::new(&common.root).load(&self.target.profile)?;
        Ok(First {
            kind,
            profile: self.target.profile.clone(),
            has_files_elsewhere: !profile.sets.is_empty() || has_keys_elsewhere(&profile),
            place: self.target.sources.clone().find(profile.all_archives().map_err(Failure::input)?)?,
            level: self.level,
        })
    }
}

/// Whether a key of the profile or of a guest is not below the profiles' directory.
fn has_keys_elsewhere(profile: &Profile) -> bool {
    let outside =
        |name: &str| !Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let own = profile.archives.values().filter_map(|archive| archive.key.as_ref()).any(|key| outside(&key.name));
    own || profile.guests.iter().any(has_keys_elsewhere)
}

/// Builds an output of this kind and reports the result.
pub fn run(common: &Common, arguments: Arguments, kind: &'static dyn Output) -> Result<Built, Failure> {
    let began = Instant::now();
    let timings = arguments.timings;
    let first = arguments.reproduce.then(|| arguments.first(common, kind)).transpose()?;
    let mut request = request(common, arguments.target, kind)?;
    request.replace = arguments.replace;
    if let Some(level) = arguments.level {
        let wrong = |expected| Failure::usage(format!("--level {level}: expected {expected}"));
        request.profile.set_level(level).map_err(wrong)?;
    }
    let lock = request.lock.path().to_owned();
    // Before anything begins a thread: bars do.
    sandbox::enter_user_namespace().map_err(Failure::plain)?;
    super::interrupt::watch(common.json)?;
    let reporter = Reporter::new(common.json);
    let built = pipeline::build(request, &reporter);
    let stages = reporter.finish();
    let built = built?;
    lock::report(common, &lock, &built.lock);
    let time = began.elapsed();
    report(common, &built, &stages, &reporter.reused(), time);
    if timings {
        timings::tell(&built, &stages, time, common.json)?;
    }
    if let Some(first) = first {
        check::run(common, &first, &built)?;
    }
    Ok(built)
}

/// The request for an output of this kind.
pub fn request(common: &Common, target: Target, kind: &'static dyn Output) -> Result<BuildRequest, Failure> {
    let profile = Library::new(&common.root).load(&target.profile)?;
    let lock = target.lock.choose(common, &profile);
    let Place { archives, keyring, cache, client, allow_older } =
        target.sources.find(profile.all_archives().map_err(Failure::input)?)?;
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
        source_date_epoch: super::source_date_epoch()?,
        templates: Some(common.root.join("templates")).filter(|folder| folder.is_dir()),
        output: target.output.unwrap_or_else(|| common.root.join("images")),
        replace: false,
    })
}

fn report(common: &Common, built: &Built, stages: &[Ended], reused: &[String], time: Duration) {
    if common.json {
        let stages: Vec<_> = stages
            .iter()
            .map(|ended| json!({"stage": ended.stage.name(), "seconds": ended.time.as_secs_f64()}))
            .collect();
        let fields = json!({
            "image": built.path, "version": built.name.version, "size": built.size, "sha256": hex::encode(built.sha256),
            "was-there": built.was_there, "packages": built.packages, "root-size": built.root_size,
            "initramfs-size": built.initramfs_size, "content": built.content, "reused-content": built.reused, "reused": reused,
            "seconds": time.as_secs_f64(), "stages": stages,
        });
        output::event("image", fields);
        return;
    }
    let path = built.path.display();
    output::text(format_args!(
        "{path}{}\n  {} ({} bytes), {} packages, in {:.1} s\n  SHA-256 {}\n{}",
        if built.was_there { ": was there already, byte for byte" } else { "" },
        HumanBytes(built.size),
        built.size,
        built.packages,
        time.as_secs_f64(),
        hex::encode(built.sha256),
        told(built, reused),
    ));
}

/// What earlier builds saved this one.
fn told(built: &Built, reused: &[String]) -> String {
    let mut parts = reused.to_vec();
    if built.reused > 0 {
        parts.push(format!("{} of the root's {}, compressed", HumanBytes(built.reused), HumanBytes(built.content)));
    }
    if parts.is_empty() { String::new() } else { format!("  from earlier builds: {}\n", parts.join("; ")) }
}
