//! All that comes before a guest's start: checks, disks, image, config.

use super::checks::{self, CheckError};
use super::config_disk::{self, ConfigDiskError};
use super::volumes::{self, VolumeError};
use crate::guests::definitions::Guest;
use crate::guests::definitions::lookup;
use crate::guests::hypervisor::Hypervisor;
use crate::guests::image::{self, ChoiceError, ImageRequest, Stage, VerifiedImage};
use crate::guests::plan::{Plan, PlanCard, PlanDisk, interface};
use crate::guests::run_directory::{self, place};
use crate::guests::state::{State, StateError};
use crate::guests::status::{self, Phase, Record};
use crate::system::boot_record;
use crate::system::machine::Machine;
use crate::system::world::World;
use appliance_contract::guest::MacAddress;
use appliance_contract::guest_image;
use appliance_contract::medium;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why a guest is not started.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum PrepareError {
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error(transparent)]
    Image(#[from] ChoiceError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    ConfigDisk(#[from] ConfigDiskError),
    #[error("{doing}: {error}")]
    Io { doing: String, error: io::Error },
    #[error("the node's name in {BOOT_RECORD}: {0}", BOOT_RECORD = medium::BOOT_RECORD)]
    Node(String),
}

fn failed(doing: impl Into<String>) -> impl FnOnce(io::Error) -> PrepareError {
    let doing = doing.into();
    |error| PrepareError::Io { doing, error }
}

/// A guest that can be started. Its loop devices are the host's to release.
#[derive(Debug)]
pub struct Prepared {
    /// What to start.
    pub plan: Plan,
    /// Under what.
    pub hypervisor: Hypervisor,
    /// The image it starts from.
    pub image: VerifiedImage,
    /// Loop devices to release when the guest has ended.
    pub loops: Vec<PathBuf>,
}

/// Checks, makes and gathers. What is worth knowing goes into the record's notes.
pub fn prepare(
    world: &World<'_>,
    machine: &dyn Machine,
    guest: &Guest,
    state: &State,
    record: &mut Record,
) -> Result<Prepared, PrepareError> {
    let config = &guest.config;
    let hypervisor = checks::hypervisor(world, config)?;
    record.hypervisor = Some(hypervisor);
    checks::networks(world, config)?;
    record.notes.extend(volumes::make(world, config)?);
    let macs = addresses(world, guest)?;
    reserve(world, guest, hypervisor, &macs, record)?;
    let image = choose(world, guest, hypervisor, state, record)?;
    record.image = Some(image.manifest.name.clone());
    record.version = Some(image.manifest.version.clone());
    let mut loops = Vec::new();
    let parts = Parts { world, machine, guest, hypervisor, macs: &macs, image: &image };
    match gather(&parts, &mut loops, record) {
        Ok(plan) => Ok(Prepared { plan, hypervisor, image, loops }),
        Err(error) => {
            loops.iter().for_each(|device| machine.release_loop(device));
            Err(error)
        }
    }
}

/// The addresses of its cards, as given or derived.
fn addresses(world: &World<'_>, guest: &Guest) -> Result<Vec<String>, PrepareError> {
    let node =
        boot_record::find(world.root).and_then(|record| record.config).map_or("node".to_owned(), |config| config.node);
    let node = node.parse().map_err(|error| PrepareError::Node(format!("{error}")))?;
    let cards = guest.config.networks.iter().enumerate();
    Ok(cards
        .map(|(index, card)| card.mac.unwrap_or_else(|| MacAddress::derive(&node, &guest.name, index)).to_string())
        .collect())
}

/// Checks memory, addresses and disks, and makes them known as taken, one guest at a time.
fn reserve(
    world: &World<'_>,
    guest: &Guest,
    hypervisor: Hypervisor,
    macs: &[String],
    record: &mut Record,
) -> Result<(), PrepareError> {
    let _alone = status::check_alone(world).map_err(failed("waiting for other guests' checks"))?;
    let others = checks::running_others(world, guest.name.as_str(), hypervisor);
    // What others have been promised and not taken yet.
    let promised = others.iter().filter(|other| other.phase == Phase::Starting).filter_map(|other| other.memory_mib);
    let memory = guest.config.memory.mebibytes();
    checks::memory(world, hypervisor, memory, promised.sum())?;
    checks::addresses(world, macs, &others)?;
    record.disks = checks::disks(world, &guest.config, &others)?;
    record.macs = macs.to_vec();
    record.memory_mib = Some(memory);
    record.phase = Phase::Starting;
    record.save(world).map_err(failed("writing the guest's status"))
}

/// The image by guest.toml, by what an operator chose, and by what is there.
fn choose(
    world: &World<'_>,
    guest: &Guest,
    hypervisor: Hypervisor,
    state: &State,
    record: &mut Record,
) -> Result<VerifiedImage, PrepareError> {
    let image = &guest.config.image;
    let folder = run_directory::path(guest.name.as_str(), "");
    // QEMU, which is nobody, could not read the store's.
    let stage = Stage { folder: &folder, all: hypervisor == Hypervisor::Kvm };
    let request =
        ImageRequest { name: image.name(), version: image.version(), passed_over: &state.failed, stage: Some(stage) };
    let chosen = state.chosen.as_deref().filter(|_| image.version().is_none());
    let (verified, rejected) = match chosen {
        None => image::choose(world, request)?,
        Some(version) => match image::choose(world, ImageRequest { version: Some(version), ..request }) {
            Ok(found) => found,
            Err(error) => {
                record.notes.push(format!("the selected version is not available; using the newest: {error}"));
                image::choose(world, request)?
            }
        },
    };
    let passed = rejected.iter().map(|rejected| format!("passed over {}: {}", rejected.place, rejected.reason));
    record.notes.extend(passed);
    Ok(verified)
}

/// What a plan is made of.
struct Parts<'a> {
    world: &'a World<'a>,
    machine: &'a dyn Machine,
    guest: &'a Guest,
    hypervisor: Hypervisor,
    macs: &'a [String],
    image: &'a VerifiedImage,
}

/// Makes the plan. Loop devices are added to `loops` as they are made, also where a later step fails.
fn gather(parts: &Parts<'_>, loops: &mut Vec<PathBuf>, record: &mut Record) -> Result<Plan, PrepareError> {
    let Parts { world, machine, guest, hypervisor, macs, image } = *parts;
    let name = guest.name.as_str();
    let mut attach = |backing: &Path, offset, length| -> Result<PathBuf, PrepareError> {
        let device = machine
            .attach_loop(&world.at(backing), offset, length)
            .map_err(failed(format!("attaching {} to a loop device", backing.display())))?;
        loops.push(device.clone());
        Ok(device)
    };
    let bytes = image.place.open(world, &image.root.path).map_err(failed("opening the root image"))?;
    let root = attach(&bytes.backing, bytes.range.offset, bytes.range.length)?;
    let served = write_config_disk(world, guest, record)?;
    let length = fs::metadata(world.at(&served)).map_err(failed("looking at the served config"))?.len();
    let served = attach(&served, 0, length)?;
    let mut disks = vec![disk("root", root, true, true)];
    for record in &record.disks {
        let is_device = record.disk().base().is_some_and(crate::guests::disks::Base::is_device);
        disks.push(disk(&record.name, record.path.clone(), record.read_only, is_device));
    }
    disks.push(disk("config", served, true, true));
    let cards = guest.config.networks.iter().zip(macs).enumerate();
    let cards = cards.map(|(index, (card, mac))| PlanCard {
        bridge: card.bridge.to_string(),
        mac: mac.clone(),
        model: card.model,
        interface: interface(name, index),
    });
    let (device, console) = match hypervisor {
        Hypervisor::Xen => ("xvda", "console=hvc0"),
        // KVM shows no panic to the host but a machine that starts again.
        Hypervisor::Kvm => ("vda", "console=ttyS0 panic=-1"),
    };
    let arguments = guest_image::kernel_arguments(&image.boot.kernel_arguments, device);
    Ok(Plan {
        name: name.to_owned(),
        memory_mib: guest.config.memory.mebibytes(),
        vcpus: guest.config.vcpus.get(),
        kernel: world.at(&image.kernel),
        initramfs: world.at(&image.initramfs),
        arguments: format!("{arguments} {console}"),
        disks,
        cards: cards.collect(),
    })
}

fn disk(name: &str, path: PathBuf, read_only: bool, is_device: bool) -> PlanDisk {
    PlanDisk { name: name.to_owned(), path, read_only, is_device }
}

/// Writes the disk that serves the guest its config.
fn write_config_disk(world: &World<'_>, guest: &Guest, record: &mut Record) -> Result<PathBuf, PrepareError> {
    let name = guest.name.as_str();
    let node = name.parse().map_err(|error| PrepareError::Node(format!("{error}")))?;
    let generation = boot_record::find(world.root).and_then(|record| record.config?.generation);
    let global = world.at(format!("{}/global", medium::CONFIG_MOUNT));
    let disk = config_disk::make(node, generation, &lookup::folder(world, name), &global)?;
    record.notes.extend(disk.left_out.into_iter().map(|line| format!("left out of the served config: {line}")));
    fs::write(place(world, name, "config.iso"), disk.image).map_err(failed("writing the served config"))?;
    Ok(run_directory::path(name, "config.iso"))
}
