use crate::cli::build;
use crate::cli::flags::build::Arguments as BuildArguments;
use crate::cli::flags::common::Common;
use crate::cli::report::failure::Failure;
use crate::cli::report::output;
use applbuild::output::GuestDirectory;
use applbuild::profile::Library;
use appliance_contract::guest_image;
use appliance_contract::marker::Role;

const DETAILS: &str = "\
The directory holds root.squashfs with its verity tree, vmlinuz, initramfs.zst, manifest.json, the
bill of materials, the lock and SHA256SUMS. A host starts guests from such directories on its medium
(the key guests in its profile) and in /var/lib/appliance/images/.";

#[derive(Debug, clap::Args)]
#[command(after_help = DETAILS)]
pub struct Arguments {
    #[command(flatten)]
    build: BuildArguments,
}

pub fn run(common: &Common, arguments: Arguments) -> Result<(), Failure> {
    let name = &arguments.build.target.profile;
    if Library::new(&common.root).load(name)?.kind != Role::Guest {
        return Err(Failure::usage(format!(
            "--profile {name}: it is the profile of a host, expected one of kind = \"guest\"; a host's is built by: \
             applbuild iso --profile {name}"
        )));
    }
    let built = build::run(common, arguments.build, &GuestDirectory)?;
    if !common.json {
        let (path, store) = (built.path.display(), guest_image::STORE);
        output::result(format_args!("next: rsync -a {path} NODE:{store}/\n"));
    }
    Ok(())
}
