use crate::cli::flags::common::Common;
use crate::cli::flags::environment::config_time;
use crate::cli::report::failure::Failure;
use crate::cli::report::output;
use applbuild::fleet::{ConfigFormat, ConfigImage, ConfigTree};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the image of a node's config partition, for a disk, a USB stick or a CD
    Image(Image),
}

const DETAILS: &str = "\
The image holds appliance.toml (the marker), local/ from pservers/NODE/, and global/ from global/.
All files belong to root. Files get mode 644 (executable ones 755), directories 755, ssh_host_*_key 600.
The file pservers/NODE/modes overrides this with lines of PATH OWNER MODE, for example
  etc/ssl/private/**   root:ssl-cert   0640
If domUs/NAME/guest.toml has vserver = \"GUEST\", vservers/GUEST/ is copied to domUs/NAME/config/.
The formats ext4 and vfat make a GPT disk with one partition of the appliance's type; iso makes a
volume for a CD. A vfat config stores links in the marker and modes in local/modes.";

#[derive(Debug, Args)]
#[command(after_help = DETAILS)]
pub struct Image {
    /// The node: a directory in the fleet's pservers/
    #[arg(long, required_unless_present = "guest")]
    node: Option<String>,
    /// Make the config of this guest instead of a node's, for a disk of the guest: a directory in the fleet's vservers/
    #[arg(long, conflicts_with = "node")]
    guest: Option<String>,
    /// Directory of the fleet
    #[arg(long, value_name = "DIR", default_value = ".")]
    fleet: PathBuf,
    /// File system of the partition
    #[arg(long, value_enum, default_value_t = Format::Ext4)]
    format: Format,
    /// The file to write; a directory gets it as NODE.img, or NODE.iso
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Ext4,
    Vfat,
    Iso,
}

impl From<Format> for ConfigFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Ext4 => Self::Ext4,
            Format::Vfat => Self::Vfat,
            Format::Iso => Self::Iso,
        }
    }
}

pub fn run(common: &Common, command: Command) -> Result<(), Failure> {
    let Command::Image(image) = command;
    let stop = crate::cli::report::interrupt::stop(common.json)?;
    let time = config_time()?;
    let of_guest = image.guest.is_some();
    let (name, config) = match (image.guest, image.node) {
        (Some(guest), _) => (guest.clone(), ConfigTree::read_guest(&image.fleet, &guest, time)),
        // Clap asks for one of the two.
        (None, node) => {
            let node = node.unwrap_or_default();
            (node.clone(), ConfigTree::read(&image.fleet, &node, time))
        }
    };
    let config = config.map_err(Failure::from_fleet)?;
    let request = ConfigImage { node: name, format: image.format.into(), partition: 1, time };
    let file = output_file(&image.output, &request);
    let made = request.make(&config.tree, &file).map_err(Failure::from_fleet)?;
    if stop.load(Ordering::Relaxed) {
        return Err(Failure::Interrupted);
    }
    let written = made.put().map_err(Failure::from_fleet)?;
    if common.json {
        let fields = json!({"file": file, "node": request.node, "size": written.size, "warnings": written.warnings});
        output::event("config-image", fields);
        return Ok(());
    }
    for warning in &written.warnings {
        output::note!("warning: {warning}");
    }
    let shown = file.display();
    output::result(format_args!("{shown}: the config of {}, {} KiB\n", request.node, written.size / 1024));
    if !of_guest {
        output::result(format_args!("next: {} boot images/IMAGE.iso --config {shown}\n", output::program()));
    }
    Ok(())
}

/// The file that `--output` names: in a directory, by the node's name.
fn output_file(output: &Path, config: &ConfigImage) -> PathBuf {
    if !output.is_dir() && !output.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return output.to_owned();
    }
    let suffix = if config.format == ConfigFormat::Iso { "iso" } else { "img" };
    output.join(format!("{}.{suffix}", config.node))
}
