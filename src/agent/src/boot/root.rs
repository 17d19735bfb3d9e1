//! Step 3, root: the root image, from where the kernel's arguments say, through dm-verity, read-only.

use super::blocks::{self, Block, Survey};
use super::lookout::Watch;
use super::{Boot, BootError, devices, volume};
use crate::formats::iso;
use crate::formats::verity::{self, Superblock, VerityError};
use crate::system::machine::{Machine, Mount, MountFlags};
use appliance_contract::Sha256;
use appliance_contract::boot_record::{self, Image};
use appliance_contract::kernel_args::{KernelArgs, RootSource};
use appliance_contract::manifest::Manifest;
use appliance_contract::medium;
use appliance_shared::probe::FileSystemKind;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Name of the verified device below `/dev/mapper`.
pub const MAPPED: &str = "appliance-root";

/// The root image, found and mounted.
#[derive(Debug)]
pub struct Root {
    /// The device on which it was found, a name below `/dev`, and the disk that this belongs to.
    pub device: String,
    pub disk: String,
    pub offset: u64,
    pub verity: Option<Superblock>,
    pub image: Image,
}

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum RootError {
    #[error("appliance.root={0} is not supported by this image's agent; it knows medium:UUID[:/PATH] and dev:NAME")]
    Unsupported(RootSource),
    #[error("no {wanted} within {seconds} s{}", looked_at(.devices))]
    Missing { wanted: String, seconds: u64, devices: Vec<String> },
    #[error("the medium with UUID {uuid} on /dev/{device}: {error}")]
    Medium { uuid: String, device: String, error: iso::IsoError },
    #[error("the root image on /dev/{device} does not match its hash: {error}")]
    Verity { device: String, error: VerityError },
    #[error("{doing} for the root image on /dev/{device}: {error}")]
    Step { doing: &'static str, device: String, error: io::Error },
    #[error(
        "the root image does not match its hash: {0}; the medium is damaged, or appliance.roothash belongs to \
         another image"
    )]
    Damaged(String),
    #[error("the root image has no /sbin/init; expected the root of a system")]
    NoInit,
}

fn looked_at(devices: &[String]) -> String {
    if devices.is_empty() {
        return "; no block device was found".to_owned();
    }
    format!("; looked at:\n  {}", devices.join("\n  "))
}

/// Where the image's bytes are.
#[derive(Debug)]
struct Place {
    block: Block,
    /// `None` for a whole device.
    range: Option<iso::FileRange>,
}

impl Root {
    pub fn record(&self, args: &KernelArgs) -> boot_record::Root {
        boot_record::Root {
            source: args.root.to_string(),
            device: format!("/dev/{}", self.device),
            offset: self.offset,
            root_hash: self.verity.as_ref().and(args.root_hash),
        }
    }
}

/// The image's bytes on a block device of their own, through dm-verity unless the arguments say `none`.
#[derive(Debug)]
pub struct Attached {
    pub block: Block,
    pub offset: u64,
    pub device: PathBuf,
    pub verity: Option<Superblock>,
    /// The loop device below, when the image is a file.
    data: PathBuf,
}

pub fn attach(boot: &mut Boot<'_>) -> Result<Attached, RootError> {
    let place = wait_for(boot)?;
    let name = place.block.name.clone();
    let step = |doing| {
        let device = name.clone();
        move |error| RootError::Step { doing, device, error }
    };
    let (data, offset) = match place.range {
        Some(range) => {
            boot.load_named(&["loop"]);
            let data = boot
                .machine
                .attach_loop(&place.block.node, range.offset, range.length)
                .map_err(step("attaching a loop device"))?;
            (data, range.offset)
        }
        None => {
            boot.machine.set_read_only(&place.block.node, true).map_err(step("setting the device read-only"))?;
            (place.block.node.clone(), 0)
        }
    };
    let Some(root_hash) = boot.args.root_hash else {
        boot.warn("appliance.roothash=none: the root image is not verified");
        return Ok(Attached { block: place.block, offset, device: data.clone(), verity: None, data });
    };
    boot.load_named(&["dm_verity"]);
    match verify(boot, &name, &data, root_hash) {
        Ok((device, superblock)) => Ok(Attached { block: place.block, offset, device, verity: Some(superblock), data }),
        Err(error) => {
            boot.machine.release_loop(&data);
            Err(error)
        }
    }
}

/// Lays dm-verity over the image.
fn verify(boot: &Boot<'_>, name: &str, data: &Path, root_hash: Sha256) -> Result<(PathBuf, Superblock), RootError> {
    let step = |doing| move |error| RootError::Step { doing, device: name.to_owned(), error };
    let file = fs::File::open(data).map_err(step("opening the device"))?;
    let superblock = Superblock::read(&file).map_err(|error| RootError::Verity { device: name.to_owned(), error })?;
    let target = superblock.target(data, root_hash);
    let device = boot.machine.create_mapped(MAPPED, &target).map_err(step("making the dm-verity device"))?;
    Ok((device, superblock))
}

/// Attaches the image and mounts it.
pub fn open(boot: &mut Boot<'_>) -> Result<(Root, String), BootError> {
    let attached = attach(boot)?;
    let device = attached.block.name.clone();
    let source = attached.device.to_string_lossy();
    let target = boot.places.sysroot.clone();
    let kind = FileSystemKind::Squashfs;
    boot.load_named(volume::modules(kind));
    let mount =
        Mount { source: &source, target: &target, kind: kind.name(), flags: MountFlags::READ_ONLY, options: "" };
    let done = boot.machine.mount(&mount);
    boot.machine.release_loop(&attached.data);
    let failure = match done {
        Err(error) => Some(RootError::Step { doing: "mounting the squashfs", device: device.clone(), error }),
        Ok(()) if fs::symlink_metadata(target.join("sbin/init")).is_err() => Some(RootError::NoInit),
        Ok(()) => None,
    };
    if let Some(failure) = failure {
        // Damage explains both better than what it led to.
        return Err(damage(boot.machine).map_or(failure, RootError::Damaged).into());
    }
    let image = image(&target);
    let verified = if attached.verity.is_some() { "verified" } else { "NOT verified" };
    let offset = attached.offset;
    let line = format!("{} {} from /dev/{device} at byte {offset}, {verified}", image.name, image.version);
    let disk = attached.block.disk().to_owned();
    Ok((Root { device, disk, offset, verity: attached.verity, image }, line))
}

/// Undoes what a failed [`open`] left.
pub fn close(boot: &mut Boot<'_>) {
    // None of these need be there; each is tried.
    let _ = boot.machine.unmount(&boot.places.sysroot);
    let _ = boot.machine.remove_mapped(MAPPED);
}

/// What dm-verity found, if it found damage.
pub fn damage(machine: &dyn Machine) -> Option<String> {
    let status = machine.mapped_status(MAPPED).ok()?;
    if status.trim() != "C" {
        return None;
    }
    let log = machine.kernel_log();
    Some(verity::damage_in_log(&log).unwrap_or("a block is corrupted").to_owned())
}

fn image(sysroot: &Path) -> Image {
    let path = sysroot.join(medium::IN_IMAGE_MANIFEST.trim_start_matches('/'));
    let manifest = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
    match manifest {
        Some(manifest) => Image { name: manifest.name, version: manifest.version },
        None => Image { name: "image".into(), version: "without manifest".into() },
    }
}

/// For the time a shell is open: says when what was missing has appeared.
pub fn watcher() -> impl FnMut(&mut Boot<'_>) {
    let mut watch = Watch::default();
    move |boot| {
        if let Some(now) = watch.change(boot)
            && let Ok(Some(place)) = find(boot, &now.blocks)
        {
            let device = place.block.name;
            boot.console
                .say(format!("root: /dev/{device} has what was missing; leave the shell (exit) to boot with it"));
        }
    }
}

fn find(boot: &Boot<'_>, blocks: &[Block]) -> Result<Option<Place>, RootError> {
    match &boot.args.root {
        RootSource::Medium { uuid, path } => find_medium(blocks, uuid, path),
        RootSource::Device { name } => {
            let found = blocks.iter().find(|block| block.name == *name && block.bytes > 0);
            Ok(found.map(|block| Place { block: block.clone(), range: None }))
        }
        source => Err(RootError::Unsupported(source.clone())),
    }
}

/// Looks until the image's place appears, for `appliance.timeout` seconds at most.
fn wait_for(boot: &mut Boot<'_>) -> Result<Place, RootError> {
    let source = boot.args.root.clone();
    let wanted = match &source {
        RootSource::Medium { uuid, .. } => format!("medium (ISO 9660 volume) with UUID {uuid}"),
        RootSource::Device { name } => format!("device /dev/{name}"),
        RootSource::File { .. } | RootSource::Http { .. } => return Err(RootError::Unsupported(source)),
    };
    let begun = boot.machine.uptime();
    let mut said = false;
    loop {
        boot.poll();
        let blocks = blocks::list(&boot.places);
        if let Some(place) = find(boot, &blocks)? {
            return Ok(place);
        }
        let waited = boot.machine.uptime().saturating_sub(begun);
        if waited >= boot.args.timeout {
            let devices = Survey::take(&boot.places).describe();
            boot.seen.clone_from(&devices);
            return Err(RootError::Missing { wanted, seconds: boot.args.timeout.as_secs(), devices });
        }
        if !said && boot.devices.settled(boot) {
            said = true;
            boot.console.say(format!("root: waiting for the {wanted}, {} s at most", boot.args.timeout.as_secs()));
        }
        boot.machine.sleep(devices::INTERVAL);
    }
}

/// The first device that begins with the volume of that UUID, whether or not all of it is there.
pub fn medium(blocks: &[Block], uuid: &str) -> Option<Block> {
    blocks.iter().find(|block| open_medium(block, uuid).is_some()).cloned()
}

/// A medium that is not ready yet reads as an error: the next look decides.
fn open_medium(block: &Block, uuid: &str) -> Option<fs::File> {
    let file = block.open().ok()?;
    let found = iso::Volume::open(&file).ok()?.uuid?;
    found.eq_ignore_ascii_case(uuid).then_some(file)
}

/// The first device that holds the volume; whole disks stand before their partitions.
fn find_medium(blocks: &[Block], uuid: &str, path: &str) -> Result<Option<Place>, RootError> {
    let mut refused = None;
    for block in blocks {
        let Some(file) = open_medium(block, uuid) else { continue };
        match iso::Volume::open(&file).and_then(|volume| volume.find(path)) {
            Ok(range) => return Ok(Some(Place { block: block.clone(), range: Some(range) })),
            // A partition that holds the volume's start need not hold all of it: another device may.
            Err(error) => {
                let error = RootError::Medium { uuid: uuid.to_owned(), device: block.name.clone(), error };
                refused.get_or_insert(error);
            }
        }
    }
    refused.map_or(Ok(None), Err)
}
