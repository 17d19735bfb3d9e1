use crate::cli::flags::common::Common;
use crate::cli::report::difference;
use crate::cli::report::failure::Failure;
use applbuild::differ;
use std::path::PathBuf;

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
    let Arguments { first, second } = arguments;
    match differ::compare(first, second).map_err(Failure::plain)? {
        None => Ok(()),
        Some(found) => Err(difference::print(common, first, second, &found)),
    }
}
