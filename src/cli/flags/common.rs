//! The flags of every command.

use clap::Args;
use std::path::PathBuf;

const COMMON: &str = "Options of every command";

/// What every command understands.
#[derive(Debug, Args)]
pub struct Common {
    /// Folder that holds profiles/, templates/ and images/
    #[arg(long, value_name = "DIR", default_value = ".", global = true, help_heading = COMMON)]
    pub root: PathBuf,
    /// Print what happens as JSON, an object a line
    #[arg(long, global = true, help_heading = COMMON)]
    pub json: bool,
}
