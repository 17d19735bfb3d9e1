//! What the supervisor of a guest says of it to others: in
//! `/run/appliance/guests/NAME/status.json`, which `appliance status` and the
//! checks of other guests read. Whether somebody supervises it now is said by a
//! lock that ends with its holder, however that ends.

use super::disks::{Base, Disk, Extent};
use super::hypervisor::Hypervisor;
use super::run_directory;
use crate::system::world::World;
use crate::system::{atomic_file, files};
use appliance_contract::Schema;
use appliance_contract::medium::RUN_GUESTS;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;

/// How far a guest's supervisor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Checks.
    Preparing,
    /// Its memory, disks and addresses are its own; it does not run yet.
    Starting,
    /// It runs and has not said that it is ready.
    Started,
    /// The guest reported that it is ready.
    Ready,
    /// Asked to power off.
    Stopping,
    /// It powered off, or was stopped.
    Ended,
    /// It could not be started, or ended with an error.
    Failed,
}

impl Phase {
    /// As in the file and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Starting => "starting",
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }
}

/// What the supervisor of a guest tells others; the contents of `status.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The format's version.
    pub schema: Schema,
    /// The guest's name.
    pub guest: String,
    /// How far it is.
    pub phase: Phase,
    /// What it runs under.
    pub hypervisor: Option<Hypervisor>,
    /// Xen's number of it.
    pub domain: Option<u32>,
    /// QEMU's process.
    pub pid: Option<u32>,
    /// The image's name.
    pub image: Option<String>,
    /// The image's version.
    pub version: Option<String>,
    /// Seconds since 1970.
    pub started: Option<u64>,
    /// When it got ready, in seconds since 1970.
    pub ready: Option<u64>,
    /// What `systemctl is-system-running` said in the guest.
    pub ready_state: Option<String>,
    /// Memory reserved for it.
    pub memory_mib: Option<u64>,
    /// The socket of its console.
    pub console: Option<PathBuf>,
    /// Newer images that were broken, a marker passed over, a version that went back.
    pub notes: Vec<String>,
    /// Why it failed the last time.
    pub last_failure: Option<Failure>,
    /// Addresses reserved for it.
    pub macs: Vec<String>,
    /// Disks reserved for it.
    pub disks: Vec<DiskRecord>,
}

/// A failure of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Seconds since 1970.
    pub at: u64,
    /// Why.
    pub reason: String,
}

/// A disk that is reserved for a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRecord {
    /// Its name in guest.toml.
    pub name: String,
    /// The device or file.
    pub path: PathBuf,
    /// Whether the guest only reads it.
    pub read_only: bool,
    extents: Vec<ExtentRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ExtentRecord {
    file: bool,
    numbers: (u64, u64),
    start: u64,
    end: u64,
    lvm: bool,
}

impl DiskRecord {
    /// The record of a disk that was looked at.
    pub fn new(name: &str, path: PathBuf, read_only: bool, disk: &Disk) -> Self {
        let extents = disk.extents.iter().map(|extent| {
            let (file, numbers) = match extent.base {
                Base::Device { major, minor } => (false, (major, minor)),
                Base::File { device, inode } => (true, (device, inode)),
            };
            ExtentRecord { file, numbers, start: extent.start, end: extent.end, lvm: extent.lvm }
        });
        Self { name: name.to_owned(), path, read_only, extents: extents.collect() }
    }

    /// The bytes that are reserved.
    pub fn disk(&self) -> Disk {
        let extents = self.extents.iter().map(|record| {
            let (first, second) = record.numbers;
            let base = if record.file {
                Base::File { device: first, inode: second }
            } else {
                Base::Device { major: first, minor: second }
            };
            Extent { base, start: record.start, end: record.end, lvm: record.lvm }
        });
        Disk { extents: extents.collect() }
    }
}

impl Record {
    /// A supervisor that has just begun.
    pub fn new(guest: &str) -> Self {
        Self {
            schema: Schema::CURRENT,
            guest: guest.to_owned(),
            phase: Phase::Preparing,
            hypervisor: None,
            domain: None,
            pid: None,
            image: None,
            version: None,
            started: None,
            ready: None,
            ready_state: None,
            memory_mib: None,
            console: None,
            notes: Vec::new(),
            last_failure: None,
            macs: Vec::new(),
            disks: Vec::new(),
        }
    }

    /// `None` where the guest was never started since the boot.
    pub fn load(world: &World<'_>, guest: &str) -> Option<Self> {
        serde_json::from_slice(&fs::read(run_directory::place(world, guest, "status.json")).ok()?).ok()
    }

    /// Writes the record atomically.
    pub fn save(&self, world: &World<'_>) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(io::Error::from)?;
        atomic_file::write(&run_directory::place(world, &self.guest, "status.json"), text.as_bytes())
    }

    /// Whether disks and addresses are its own, by what it says itself.
    pub fn has_its_own(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Started | Phase::Ready | Phase::Stopping)
    }
}

/// Held for as long as somebody supervises the guest.
pub type Lock = Flock<File>;

fn lock(world: &World<'_>, path: PathBuf, how: FlockArg) -> io::Result<Option<Lock>> {
    fs::create_dir_all(world.at(RUN_GUESTS))?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    match Flock::lock(file, how) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

/// `None` where somebody else holds it.
pub fn supervise(world: &World<'_>, guest: &str) -> io::Result<Option<Lock>> {
    run_directory::make(world, guest)?;
    lock(world, run_directory::place(world, guest, "lock"), FlockArg::LockExclusiveNonblock)
}

/// Waits until no other guest is between its checks and its record.
pub fn check_alone(world: &World<'_>) -> io::Result<Option<Lock>> {
    lock(world, world.at(format!("{RUN_GUESTS}/.lock")), FlockArg::LockExclusive)
}

/// Whether somebody supervises the guest now.
pub fn is_supervised(world: &World<'_>, guest: &str) -> bool {
    // Not made where it is not there: looking changes nothing.
    let Ok(file) = File::open(run_directory::place(world, guest, "lock")) else { return false };
    matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, nix::errno::Errno::EWOULDBLOCK)))
}

/// The records of all guests that were started since the boot, by name.
pub fn all(world: &World<'_>) -> Vec<Record> {
    files::names(&world.at(RUN_GUESTS)).iter().filter_map(|name| Record::load(world, name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::disks::at_path;
    use crate::guests::tests::Node;
    use std::path::Path;

    #[test]
    fn a_record_is_kept_with_its_disks() {
        let node = Node::new();
        node.file("/data/a", b"x");
        let world = node.world();
        let disk = at_path(&world, Path::new("/data/a")).unwrap();
        let mut record = Record::new("web");
        record.disks.push(DiskRecord::new("data", "/data/a".into(), false, &disk));
        record.save(&world).unwrap();
        assert_eq!(Record::load(&world, "web"), Some(record.clone()));
        assert_eq!(all(&world), [record.clone()]);
        assert_eq!(record.disks[0].disk(), disk);
    }

    #[test]
    fn the_lock_says_whether_somebody_supervises() {
        let node = Node::new();
        let world = node.world();
        assert!(!is_supervised(&world, "web"));
        let held = supervise(&world, "web").unwrap();
        assert!(held.is_some() && is_supervised(&world, "web"));
        assert!(supervise(&world, "web").unwrap().is_none());
        drop(held);
        assert!(!is_supervised(&world, "web"));
    }
}
