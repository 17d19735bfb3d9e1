use crate::cli::flags::common::Common;
use crate::cli::report::difference;
use crate::cli::report::failure::Failure;
use applbuild::differ;
use std::path::PathBuf;

const DETAILS: &str = "\
Opens ISO 9660 volumes, squashfs images and cpio archives, also nested ones. Exit code 0: the
files are identical; 4: they differ.";

#[derive(Debug, clap::Args)]
#[command(after_help = DETAILS)]
pub struct Arguments {
    /// The first image, or any other file
    first: PathBuf,
    /// The second image or file
    second: PathBuf,
}

pub fn run(common: &Common, arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { first, second } = arguments;
    match differ::compare(first, second).map_err(Failure::plain)? {
        None => Ok(()),
        Some(found) => Err(difference::print(common, first, second, &found)),
    }
}
