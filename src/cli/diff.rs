use super::failure::Failure;
use super::{Common, output};
use applbuild::differ::{self, Difference};
use serde_json::json;
use std::path::{Path, PathBuf};

const DETAILS: &str = "\
Opens ISO 9660 volumes, squashfs images and cpio archives, one in the other. Exit code 0: the
files are the same bytes; 4: they differ.";

#[derive(Debug, clap::Args)]
#[command(after_help = DETAILS)]
pub struct Arguments {
    /// An image, or any other file
    first: PathBuf,
    /// Another one
    second: PathBuf,
}

pub fn run(common: &Common, arguments: &Arguments) -> Result<(), Failure> {
    compare(common, &arguments.first, &arguments.second)
}

/// Says what the first difference is, and fails where there is one.
pub fn compare(common: &Common, first: &Path, second: &Path) -> Result<(), Failure> {
    let Some(difference) = differ::compare(first, second).map_err(Failure::plain)? else { return Ok(()) };
    if common.json {
        let Difference { place, what, left, right } = &difference;
        output::event(
            "difference",
            json!({"first": first, "second": second, "place": place, "what": what, "left": left, "right": right}),
        );
    } else {
        output::text(format_args!("{difference}\n"));
    }
    Err(Failure::Differ(miette::Report::msg(format!("{} and {} differ", first.display(), second.display()))))
}
