use crate::cli::Cli;
use crate::cli::report::failure::Failure;
use clap::CommandFactory;
use clap::builder::Resettable;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The directory; created if missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error("writing manual pages into {}", folder.display())]
struct ManError {
    folder: PathBuf,
    source: std::io::Error,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    write(&arguments.folder).map_err(|source| Failure::plain(ManError { folder: arguments.folder.clone(), source }))
}

fn write(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    // The pages are the same for every program of one version.
    let command = Cli::command().version(env!("CARGO_PKG_VERSION")).long_version(Resettable::Reset);
    clap_mangen::generate_to(command, folder)
}
