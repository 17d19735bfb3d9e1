use crate::cli::flags::common::Common;
use crate::cli::flags::sources::{CacheArguments, PackageSources, Sources};
use crate::cli::report::failure::Failure;
use crate::cli::report::output;
use crate::cli::report::progress::Reporter;
use applbuild::packages::archive::directory::{self, FolderError, Stock, Supply};
use applbuild::packages::{Client, Lock, Policy};
use applbuild::profile::{Archive, Library};
use indicatif::HumanBytes;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Export every package of the locks to a directory that serves builds and apt as a mirror
    Export {
        /// The directory; packages of earlier exports stay
        dir: PathBuf,
        /// Lock whose packages to export; may be repeated [default: all in profiles/]
        #[arg(long = "lock", value_name = "FILE")]
        locks: Vec<PathBuf>,
        #[command(flatten)]
        sources: Box<Sources>,
    },
    /// Import the packages of such a directory into the cache, and verify each by its hash
    Import {
        /// The directory
        dir: PathBuf,
        #[command(flatten)]
        cache: CacheArguments,
    },
}

pub fn run(common: &Common, command: Command) -> Result<(), Failure> {
    let reporter = Reporter::new(common.json);
    let (dir, what, stock) = match command {
        Command::Export { dir, locks, sources } => {
            let locks = if locks.is_empty() { own_locks(common)? } else { locks };
            let PackageSources { archives, cache, client, .. } = sources.find_with(archives(common, &locks))?;
            let _held = cache.lock_shared();
            let supply = Supply { archives: &archives, cache: &cache, client: &client };
            (dir.clone(), "exported", directory::export(&dir, &locks, supply, &reporter))
        }
        Command::Import { dir, cache } => {
            let client = Client::new(Policy::default());
            let cache = cache.find()?;
            let _held = cache.lock_shared();
            (dir.clone(), "imported", directory::import(&dir, &cache, &client, &reporter))
        }
    };
    reporter.finish();
    let stock = stock.map_err(|error| match error {
        FolderError::Lock { .. } | FolderError::SamePath { .. } | FolderError::NoLocks { .. } => Failure::input(error),
        _ => Failure::plain(error),
    })?;
    report(common, &dir, what, &stock);
    Ok(())
}

/// All locks in `profiles/`.
fn own_locks(common: &Common) -> Result<Vec<PathBuf>, Failure> {
    let folder = common.root.join("profiles");
    let entries = std::fs::read_dir(&folder).map_err(|error| Failure::reading(&folder, error))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "lock"));
    paths.sort();
    if paths.is_empty() {
        let folder = folder.display();
        return Err(Failure::usage(format!(
            "{folder} holds no lock; name one with --lock FILE, or create one: applbuild lock"
        )));
    }
    Ok(paths)
}

/// The archives that the locks' profiles describe. A lock whose profile is gone describes none.
fn archives(common: &Common, locks: &[PathBuf]) -> BTreeMap<String, Archive> {
    let library = Library::new(&common.root);
    let texts = locks.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    let profiles = texts.filter_map(|text| library.load(&Lock::parse(&text).ok()?.profile).ok());
    profiles.filter_map(|profile| profile.all_archives().ok()).flatten().collect()
}

fn report(common: &Common, dir: &Path, what: &str, stock: &Stock) {
    let Stock { locks, packages, bytes } = stock;
    if common.json {
        output::event(
            "archive",
            json!({"path": dir, "done": what, "locks": locks, "packages": packages, "bytes": bytes}),
        );
        return;
    }
    let size = HumanBytes(*bytes);
    output::result(format_args!("{}: {what} {packages} packages, {size}, of {} locks\n", dir.display(), locks.len()));
    let lock = locks.first().map(|lock| lock.display().to_string()).unwrap_or_default();
    let more = if what == "exported" {
        format!("--mirror file:{0} --security-mirror file:{0}", shown(dir))
    } else {
        "--offline".to_owned()
    };
    output::result(format_args!("next: {} iso --profile NAME --lock {lock} {more}\n", output::program()));
}

/// The absolute path, because a URL needs one.
fn shown(dir: &Path) -> String {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()).display().to_string()
}
