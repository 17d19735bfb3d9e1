//! What the commands that build images have in common.

use super::failure::Failure;
use super::progress::{Ended, Reporter};
use super::{Common, output};
use applbuild::images::Form;
use applbuild::packages::http::Policy;
use applbuild::packages::{Archives, Cache, Client, Keyring, MirrorChoice, cache};
use applbuild::pipeline::{BuildError, Built, Order};
use applbuild::profile::{Library, Profile};
use applbuild::progress::Progress;
use applbuild::sandbox;
use indicatif::HumanBytes;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Debug, clap::Args)]
#[group(id = "build")]
pub struct Arguments {
    /// The profile to build
    #[arg(long, value_name = "NAME")]
    pub profile: String,
    /// Where Debian's archive is [default: as the machine's apt sources say]
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Where Debian's security archive is [default: as the machine's apt sources say]
    #[arg(long, value_name = "URL")]
    security_mirror: Option<String>,
    /// OpenPGP keys that may sign the archives, in the place of Debian's
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    /// Where downloads are kept [default: ~/.cache/applbuild]
    #[arg(long, value_name = "DIR", env = "APPLBUILD_CACHE")]
    cache: Option<PathBuf>,
    /// Where the image goes [default: images/ in the root folder]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Build from this lock, not from what the archives have now [default: profiles/NAME.lock, where there is one]
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Pass over profiles/NAME.lock: take what the archives have now
    #[arg(long, conflicts_with = "lock")]
    update: bool,
    /// Overwrite an image of the same version
    #[arg(long)]
    replace: bool,
    /// Use what the cache holds, and no network; needs a lock
    #[arg(long)]
    offline: bool,
    /// How hard to compress the root: 1 to 22 for zstd, to 9 for xz and gzip [default: as the profile says]
    #[arg(long, value_name = "N")]
    level: Option<u32>,
}

/// Builds what the arguments say, by `pipeline`, and says what came out.
pub fn run(
    common: &Common,
    arguments: Arguments,
    form: Form,
    pipeline: impl FnOnce(Order, &dyn Progress) -> Result<Built, BuildError>,
) -> Result<Built, Failure> {
    let began = Instant::now();
    let profile = Library::new(&common.root).load(&arguments.profile)?;
    let order = order(common, arguments, profile, form)?;
    // Before anything begins a thread: bars do.
    sandbox::enter_user_namespace().map_err(Failure::plain)?;
    super::interrupt::watch(common.json)?;
    let reporter = Reporter::new(common.json);
    let built = pipeline(order, &reporter);
    let stages = reporter.finish();
    let built = built?;
    report(common, &built, &stages, began.elapsed());
    Ok(built)
}

fn order(common: &Common, arguments: Arguments, mut profile: Profile, form: Form) -> Result<Order, Failure> {
    if let Some(level) = arguments.level {
        profile.set_level(level).map_err(|expected| Failure::usage(format!("--level {level}: expected {expected}")))?;
    }
    let choice = MirrorChoice {
        mirror: arguments.mirror,
        security_mirror: arguments.security_mirror,
        environment: super::variable("APPLBUILD_MIRROR")?,
        environment_security: super::variable("APPLBUILD_SECURITY_MIRROR")?,
        profile: profile.mirrors.clone(),
        apt: Some(PathBuf::from("/etc/apt")),
    };
    let archives = Archives::find(&choice)?;
    let keyring = match &arguments.keyring {
        Some(path) => Keyring::read(path),
        None => Keyring::debian(),
    };
    let keyring = keyring.map_err(Failure::input)?;
    let Some(cache) = arguments.cache.or_else(cache::default_folder) else {
        return Err(Failure::usage("HOME is not set, so pass --cache DIR".to_owned()));
    };
    let kept = common.root.join("profiles").join(format!("{}.lock", profile.name));
    let lock = match arguments.lock {
        None if !arguments.update && kept.exists() => Some(kept),
        given => given,
    };
    if arguments.offline && lock.is_none() {
        return Err(Failure::usage(
            "--offline needs --lock FILE: what the archives have now is not in the cache".to_owned(),
        ));
    }
    Ok(Order {
        profile,
        form,
        archives,
        keyring,
        cache: Cache::new(cache),
        client: Arc::new(if arguments.offline { Client::offline() } else { Client::new(Policy::default()) }),
        lock,
        now: now(),
        source_date_epoch: super::source_date_epoch()?,
        templates: Some(common.root.join("templates")).filter(|folder| folder.is_dir()),
        output: arguments.output.unwrap_or_else(|| common.root.join("images")),
        replace: arguments.replace,
    })
}

fn now() -> i64 {
    // A clock before 1970 is as wrong as one at 1970: the archives' dates then tell.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

fn report(common: &Common, built: &Built, stages: &[Ended], time: Duration) {
    if common.json {
        let stages: Vec<_> = stages
            .iter()
            .map(|ended| json!({"stage": ended.stage.name(), "seconds": ended.time.as_secs_f64()}))
            .collect();
        let fields = json!({
            "image": built.path, "version": built.version, "size": built.size, "sha256": hex::encode(built.sha256),
            "was-there": built.was_there, "packages": built.packages, "root-size": built.root_size,
            "initramfs-size": built.initramfs_size, "content": built.content, "reused": built.reused,
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
        reused(built),
    ));
}

/// What earlier builds saved this one.
fn reused(built: &Built) -> String {
    if built.reused == 0 {
        return String::new();
    }
    format!("  {} of the root's {} were compressed before\n", HumanBytes(built.reused), HumanBytes(built.content))
}
