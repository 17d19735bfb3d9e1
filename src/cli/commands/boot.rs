use crate::cli::flags::common::Common;
use crate::cli::flags::environment::config_time;
use crate::cli::report::failure::Failure;
use applbuild::fleet::{self, ConfigFormat, ConfigImage};
use applbuild::qemu::{self, Accelerator, Bus, Chosen, Drive, Firmware, Machine};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The image that `applbuild iso` built
    image: PathBuf,
    /// Attach a config partition: an image file, or a fleet's directory to make one from; without a config the node
    /// offers a shell on its console
    #[arg(long, value_name = "FILE|DIR")]
    config: Option<PathBuf>,
    /// Boot as this node of the fleet; needed if the fleet has several
    #[arg(long, requires = "config")]
    node: Option<String>,
    /// Firmware; uefi needs the package ovmf
    #[arg(long, value_enum, default_value_t = FirmwareChoice::Bios)]
    firmware: FirmwareChoice,
    /// Attach the image as this kind of drive
    #[arg(long = "as", value_enum, default_value_t = Attached::Cd)]
    attached: Attached,
    /// Forward this port of the local machine to the ssh port of the booted machine
    #[arg(long, value_name = "PORT")]
    ssh: Option<u16>,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(128..=1 << 20))]
    memory: u32,
    /// Accelerator [default: KVM if a trial succeeds, else TCG]
    #[arg(long, value_enum)]
    accel: Option<AcceleratorChoice>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AcceleratorChoice {
    /// Hardware virtualization
    Kvm,
    /// Software emulation
    Tcg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FirmwareChoice {
    Bios,
    Uefi,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Attached {
    Cd,
    Usb,
    Disk,
}

impl Arguments {
    /// The image as a CD, under BIOS.
    pub fn plain(image: PathBuf, config: PathBuf) -> Self {
        Self {
            image,
            config: Some(config),
            node: None,
            firmware: FirmwareChoice::Bios,
            attached: Attached::Cd,
            ssh: None,
            memory: 2048,
            accel: None,
        }
    }
}

pub fn run(common: &Common, arguments: &Arguments) -> Result<(), Failure> {
    let stop = crate::cli::report::interrupt::stop(common.json)?;
    let qemu = qemu::find().map_err(Failure::plain)?;
    qemu::image::check(&arguments.image).map_err(Failure::from_qemu)?;
    let folder = tempfile::tempdir().map_err(|source| Failure::reading(&std::env::temp_dir(), source))?;
    let mut drives = vec![Drive {
        name: "medium".to_owned(),
        file: arguments.image.clone(),
        bus: match arguments.attached {
            Attached::Cd => Bus::Cd,
            Attached::Usb => Bus::Usb,
            Attached::Disk => Bus::Sata,
        },
        keep_writes: false,
        boot_index: Some(0),
    }];
    if let Some(config) = &arguments.config {
        let file = config_file(config, arguments.node.as_deref(), folder.path())?;
        drives.push(Drive { name: "config".to_owned(), file, bus: Bus::Virtio, keep_writes: false, boot_index: None });
    }
    let Chosen { accelerator, reason } = match arguments.accel {
        None => Chosen::probe(&qemu),
        Some(AcceleratorChoice::Kvm) => Chosen::told(Accelerator::Kvm),
        Some(AcceleratorChoice::Tcg) => Chosen::told(Accelerator::Tcg),
    };
    let machine = Machine {
        firmware: match arguments.firmware {
            FirmwareChoice::Bios => Firmware::Bios,
            FirmwareChoice::Uefi => Firmware::Uefi,
        },
        accelerator,
        memory_mib: arguments.memory,
        processor: qemu::PROCESSOR.to_owned(),
        drives,
        direct: None,
        cards: vec!["net0".to_owned()],
        ssh_port: arguments.ssh,
        monitor: None,
    };
    let name = accelerator.name();
    crate::cli::report::output::note!(
        "booting {} in QEMU by {name} ({reason}); Ctrl-A, then x, ends it",
        arguments.image.display()
    );
    if let Some(port) = arguments.ssh {
        crate::cli::report::output::note!("ssh -p {port} root@127.0.0.1 reaches it, with a key that its config allows");
    }
    let status = qemu::terminal::run(&qemu, &machine, &stop).map_err(Failure::plain)?;
    if stop.load(Ordering::Relaxed) {
        return Err(Failure::Interrupted);
    }
    if status.success() { Ok(()) } else { Err(Failure::text(format!("QEMU ended with {status}"))) }
}

/// The config image named, or one made from the fleet in the folder named.
fn config_file(config: &Path, node: Option<&str>, folder: &Path) -> Result<PathBuf, Failure> {
    if !config.is_dir() {
        std::fs::File::open(config).map_err(|source| Failure::reading(config, source))?;
        return Ok(config.to_owned());
    }
    let node = match node {
        Some(node) => node.to_owned(),
        None => only_node(config)?,
    };
    let file = folder.join("config.img");
    let image = ConfigImage { node, format: ConfigFormat::Ext4, partition: 1, time: config_time()? };
    image.write(config, &file).map_err(Failure::from_fleet)?;
    Ok(file)
}

fn only_node(fleet: &Path) -> Result<String, Failure> {
    let mut names = fleet::nodes(fleet).map_err(Failure::from_fleet)?;
    match (names.pop(), names.as_slice()) {
        (Some(name), []) => Ok(name),
        (None, _) => Err(Failure::text(format!("{} holds no node", fleet.join(fleet::NODES).display()))),
        (Some(last), others) => {
            let known = [others, &[last]].concat().join(", ");
            Err(Failure::usage(format!("{} holds several nodes ({known}); say which: --node NAME", fleet.display())))
        }
    }
}
