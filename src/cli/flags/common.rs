//! The flags of every command.

use crate::cli::report::output::Verbosity;
use clap::{Args, ColorChoice};
use std::path::PathBuf;

const COMMON: &str = "Options of every command";

/// The flags of every command.
#[derive(Debug, Args)]
pub struct Common {
    /// Root directory, with profiles/, templates/ and images/
    #[arg(long, value_name = "DIR", default_value = ".", global = true, help_heading = COMMON)]
    pub root: PathBuf,
    /// Print events and errors as JSON Lines
    #[arg(long, global = true, help_heading = COMMON)]
    pub json: bool,
    /// Print errors only: no progress, no warnings, no results
    #[arg(short, long, global = true, conflicts_with_all = ["verbose", "json"], help_heading = COMMON)]
    pub quiet: bool,
    /// Also print what maintainer scripts print, as it comes, and each file that is fetched
    #[arg(short, long, global = true, help_heading = COMMON)]
    pub verbose: bool,
    /// When to use colors; `auto`: on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto, global = true, help_heading = COMMON)]
    pub color: ColorChoice,
}

impl Common {
    /// How much to print.
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, true) => Verbosity::Verbose,
            (false, false) => Verbosity::Usual,
        }
    }
}
