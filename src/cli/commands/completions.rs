use crate::cli::Cli;
use crate::cli::report::failure::Failure;
use crate::cli::report::output;
use clap::CommandFactory;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The shell
    shell: clap_complete::Shell,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "applbuild", &mut script);
    output::text(String::from_utf8_lossy(&script));
    Ok(())
}
