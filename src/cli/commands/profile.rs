use crate::cli::flags::common::Common;
use crate::cli::report::failure::Failure;
use crate::cli::report::output;
use applbuild::profile::Library;
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a resolved profile, with what it inherits and all defaults
    Show {
        /// The profile's name
        name: String,
    },
    /// List all profiles
    List,
}

pub fn run(common: &Common, command: Command) -> Result<(), Failure> {
    let library = Library::new(&common.root);
    match command {
        Command::Show { name } => {
            let shown = library.load(&name)?.show();
            if common.json {
                output::event("profile", json!({"name": name, "toml": shown}));
            } else {
                output::text(shown);
            }
            Ok(())
        }
        Command::List => list(common, &library),
    }
}

fn list(common: &Common, library: &Library) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let mut broken = None;
    for (name, home) in library.names()? {
        match library.load(&name) {
            Ok(profile) => {
                if common.json {
                    let fields = json!({"name": name, "kind": profile.kind, "version": profile.version, "origin": home.to_string()});
                    output::event("profile", fields);
                }
                rows.push([name, profile.kind.to_string(), profile.version, home.to_string()]);
            }
            // The others are listed all the same.
            Err(error) => broken = broken.or(Some(error)),
        }
    }
    if !common.json {
        let widths = [0, 1, 2].map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
        for [name, kind, version, home] in &rows {
            let [a, b, c] = widths;
            output::text(format_args!("{name:a$}  {kind:b$}  {version:c$}  {home}\n"));
        }
    }
    broken.map_or(Ok(()), |error| Err(error.into()))
}
