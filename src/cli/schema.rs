use super::failure::Failure;
use super::output;
use appliance_contract::json_schema;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Which file
    #[arg(value_enum)]
    file: File,
    /// Print an example that tells of every key, instead of the schema
    #[arg(long)]
    example: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum File {
    /// local/domUs/NAME/guest.toml: a guest
    Guest,
    /// appliance.toml: the marker of a config partition
    Marker,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let schema = match arguments.file {
        File::Guest => json_schema::guest(),
        File::Marker => json_schema::marker(),
    };
    if arguments.example {
        output::text(json_schema::example(&schema));
    } else {
        output::text(format_args!("{schema:#}\n"));
    }
    Ok(())
}
