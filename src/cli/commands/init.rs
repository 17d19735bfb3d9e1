use crate::cli::flags::common::Common;
use crate::cli::report::failure::Failure;
use crate::cli::report::output;
use applbuild::fleet;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A new or empty directory; a checkout of an empty repository counts as empty
    folder: PathBuf,
}

pub fn run(common: &Common, arguments: &Arguments) -> Result<(), Failure> {
    let folder = &arguments.folder;
    let made = fleet::init(folder).map_err(Failure::from_fleet)?;
    if common.json {
        output::event("fleet", json!({"folder": folder, "files": made}));
        return Ok(());
    }
    let shown = folder.display();
    output::result(format_args!(
        "{shown}: a fleet with the node node1, {} files; read {shown}/README.md\n",
        made.len()
    ));
    output::result(format_args!("next: put it under version control, then\n"));
    output::result(format_args!(
        "      {} config image --fleet {shown} --node node1 -o node1.img\n",
        output::program()
    ));
    Ok(())
}
