//! `applbuild schema`: JSON Schemas, examples and reference pages of the files that people write.

use crate::cli::report::failure::Failure;
use crate::cli::report::output;
use applbuild::profile;
use appliance_contract::json_schema;
use serde_json::Value;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The file to describe
    #[arg(value_enum)]
    file: File,
    /// Print a commented example instead of the schema
    #[arg(long, conflicts_with = "reference")]
    example: bool,
    /// Print the reference page in Markdown instead of the schema
    #[arg(long)]
    reference: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum File {
    /// local/domUs/NAME/guest.toml: a guest
    Guest,
    /// appliance.toml: the marker of a config partition
    Marker,
    /// profiles/NAME.toml: a profile
    Profile,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let file = arguments.file;
    if arguments.reference {
        output::text(file.reference());
    } else if arguments.example {
        output::text(file.example());
    } else {
        output::text(format_args!("{:#}\n", file.schema()));
    }
    Ok(())
}

impl File {
    fn schema(self) -> Value {
        match self {
            Self::Guest => json_schema::guest(),
            Self::Marker => json_schema::marker(),
            Self::Profile => profile::schema(),
        }
    }

    fn example(self) -> String {
        match self {
            Self::Guest | Self::Marker => json_schema::example(&self.schema()),
            Self::Profile => profile::example(),
        }
    }

    fn reference(self) -> String {
        let (file, word, chapter) = match self {
            Self::Profile => return profile::reference(),
            Self::Guest => ("guest.toml", "guest", "guests.md"),
            Self::Marker => ("appliance.toml", "marker", "config.md"),
        };
        format!(
            "# Reference of {file}\n\nEvery key of `{file}`, as an example. This page is made from the program's own types: \
             `applbuild schema {word} --reference`\nprints it. [{chapter}]({chapter}) explains the file.\n\n\
             ```toml\n{}\n```\n",
            self.example().trim_end()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_reference_pages_are_current() {
        // Tests are started in the directory of their package.
        let docs = Path::new("docs");
        let pages = [
            (File::Profile, "profile", "profile-reference.md"),
            (File::Guest, "guest", "guest-reference.md"),
            (File::Marker, "marker", "marker-reference.md"),
        ];
        for (file, word, page) in pages {
            let found = std::fs::read_to_string(docs.join(page)).unwrap_or_default();
            assert!(found == file.reference(), "run: applbuild schema {word} --reference >docs/{page}");
        }
    }
}
