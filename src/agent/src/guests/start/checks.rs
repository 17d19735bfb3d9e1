//! What must hold of the machine when a guest starts. Each failure is one line:
//! what is wrong, and what mends it.

use super::host_use;
use crate::guests::disks;
use crate::guests::hypervisor::Hypervisor;
use crate::guests::status::{DiskRecord, Record, is_supervised};
use crate::system::world::World;
use appliance_contract::guest::{Accel, Access, GuestConfig};
use std::path::PathBuf;

/// What keeps a guest from being started.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum CheckError {
    #[error(
        "the guest wants {wanted} MiB of memory and {free} MiB are free; lower memory in its guest.toml, or stop \
         another guest"
    )]
    Memory { wanted: u64, free: u64 },
    #[error("the host's free memory could not be asked: {reason}")]
    MemoryUnknown { reason: String },
    #[error(
        "there is no interface {bridge} on the host{}; set bridge in its guest.toml, or make it in the host's \
         etc/systemd/network", known_bridges(.bridges)
    )]
    NoBridge { bridge: String, bridges: Vec<String> },
    #[error("{interface} is no bridge{}; set bridge in its guest.toml", known_bridges(.bridges))]
    NotABridge { interface: String, bridges: Vec<String> },
    #[error("the address {mac} of network card {card} is {owner}'s already; give it another mac in its guest.toml")]
    MacClash { mac: String, card: usize, owner: String },
    #[error("disk {disk}: {path} could not be looked at: {reason}; attach it, or correct source in its guest.toml")]
    DiskMissing { disk: String, path: String, reason: String },
    #[error(
        "disk {disk}: {path} {used}; a guest is given nothing that the host uses: name another source in its guest.toml"
    )]
    HostDisk { disk: String, path: String, used: String },
    #[error("disk {disk}: {path} is the same as {other}; stop that guest, or name another source")]
    GuestDisk {
        disk: String,
        path: String,
        /// Whose it is, and what that one does with it.
        other: String,
    },
    #[error(
        "the disks {first} ({first_path}) and {second} ({second_path}) of the guest are the same bytes; remove one of them"
    )]
    SameDisk { first: String, first_path: String, second: String, second_path: String },
    #[error(
        "hypervisor = {asked:?}, and the host booted with {found}; boot the other entry of the menu, or set hypervisor \
         = \"auto\""
    )]
    Hypervisor { asked: &'static str, found: &'static str },
    #[error(
        "/dev/kvm is missing: the processor's virtualisation is off in the firmware, or kvm_intel or kvm_amd is not \
         loaded; accel = \"tcg\" in its guest.toml emulates in software"
    )]
    NoKvm,
    #[error("xenstored has died, which Xen does not survive: no guest can be started or stopped; reboot the node")]
    NoXenstore,
}

fn known_bridges(bridges: &[String]) -> String {
    if bridges.is_empty() { String::new() } else { format!(" (its bridges are {})", bridges.join(", ")) }
}

/// What the host booted with, where the guest's wish fits it.
pub fn hypervisor(world: &World<'_>, config: &GuestConfig) -> Result<Hypervisor, CheckError> {
    use appliance_contract::guest::Hypervisor as Wish;
    let found = Hypervisor::booted(world.root);
    match (config.hypervisor, found) {
        (Wish::Xen, Hypervisor::Kvm) => return Err(CheckError::Hypervisor { asked: "xen", found: "KVM" }),
        (Wish::Kvm, Hypervisor::Xen) => return Err(CheckError::Hypervisor { asked: "kvm", found: "Xen" }),
        _ => {}
    }
    if found == Hypervisor::Kvm && config.accel == Accel::Kvm && !world.at("/dev/kvm").exists() {
        return Err(CheckError::NoKvm);
    }
    if found == Hypervisor::Xen && xenstored_is_dead(world) {
        return Err(CheckError::NoXenstore);
    }
    Ok(found)
}

/// Whether it ran and runs no more. It cannot be started again: the domains'
/// rings and watches are lost with it.
pub fn xenstored_is_dead(world: &World<'_>) -> bool {
    // Where its start script keeps the number (/etc/init.d/xen).
    let Some(pid) = world.line("/run/xenstore.pid") else { return false };
    !world.at(format!("/proc/{pid}")).exists()
}

/// Memory that is free for a guest, in mebibytes.
pub fn free_memory(world: &World<'_>, hypervisor: Hypervisor) -> Result<u64, CheckError> {
    let unknown = |reason: String| CheckError::MemoryUnknown { reason };
    match hypervisor {
        Hypervisor::Xen => {
            let output = world.programs.run("timeout", &["30", "xl", "info", "free_memory"]);
            let output = output.map_err(|error| unknown(format!("running xl info: {error}")))?;
            if !output.is_well() {
                return Err(unknown(format!("xl info: {}", output.complaint())));
            }
            let found = output.stdout.trim();
            found.parse().map_err(|_| unknown(format!("xl info says {found:?}, expected a number of MiB")))
        }
        Hypervisor::Kvm => {
            let text = std::fs::read_to_string(world.at("/proc/meminfo"))
                .map_err(|error| unknown(format!("reading /proc/meminfo: {error}")))?;
            let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
            kib.map(|kib| kib / 1024).ok_or_else(|| unknown("/proc/meminfo has no MemAvailable".to_owned()))
        }
    }
}

/// What a hypervisor takes beside the guest's memory, in mebibytes: page tables
/// and rings under Xen, QEMU itself under KVM.
fn overhead(hypervisor: Hypervisor, memory: u64) -> u64 {
    match hypervisor {
        Hypervisor::Xen => 4 + memory / 128,
        Hypervisor::Kvm => 64,
    }
}

/// Whether `wanted` mebibytes are free beside those `promised` to guests that start just now.
pub fn memory(world: &World<'_>, hypervisor: Hypervisor, wanted: u64, promised: u64) -> Result<(), CheckError> {
    let free = free_memory(world, hypervisor)?.saturating_sub(promised);
    if wanted + overhead(hypervisor, wanted) > free {
        return Err(CheckError::Memory { wanted, free });
    }
    Ok(())
}

fn bridges(world: &World<'_>) -> Vec<String> {
    let entries = std::fs::read_dir(world.at("/sys/class/net")).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join("bridge").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Whether all bridges of the guest exist.
pub fn networks(world: &World<'_>, config: &GuestConfig) -> Result<(), CheckError> {
    for card in &config.networks {
        let name = card.bridge.as_str();
        let folder = world.at(format!("/sys/class/net/{name}"));
        if !folder.exists() {
            return Err(CheckError::NoBridge { bridge: name.to_owned(), bridges: bridges(world) });
        }
        if !folder.join("bridge").exists() {
            return Err(CheckError::NotABridge { interface: name.to_owned(), bridges: bridges(world) });
        }
    }
    Ok(())
}

/// Whether another guest, or one of the host's own cards, has one of these addresses.
pub fn addresses(world: &World<'_>, macs: &[String], others: &[Record]) -> Result<(), CheckError> {
    for (index, mac) in macs.iter().enumerate() {
        let clash = |owner: String| Err(CheckError::MacClash { mac: mac.clone(), card: index + 1, owner });
        if macs[..index].contains(mac) {
            return clash(format!("its own card {}", index));
        }
        if let Some(other) = others.iter().find(|other| other.macs.contains(mac)) {
            return clash(format!("guest {}", other.guest));
        }
        let entries = std::fs::read_dir(world.at("/sys/class/net")).into_iter().flatten().flatten();
        for entry in entries {
            let address = std::fs::read_to_string(entry.path().join("address")).unwrap_or_default();
            if address.trim().eq_ignore_ascii_case(mac) {
                return clash(format!("the host's interface {}", entry.file_name().to_string_lossy()));
            }
        }
    }
    Ok(())
}

/// Looks at the guest's disks, which are there by now; gives what others are to know of them.
pub fn disks(world: &World<'_>, config: &GuestConfig, others: &[Record]) -> Result<Vec<DiskRecord>, CheckError> {
    let uses = host_use::all(world);
    let mut found: Vec<DiskRecord> = Vec::new();
    for wanted in &config.disks {
        let (name, path) = (wanted.name.to_string(), wanted.source.to_string());
        let disk = disks::at_path(world, &PathBuf::from(&path)).map_err(|error| CheckError::DiskMissing {
            disk: name.clone(),
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let read_only = wanted.access == Access::ReadOnly;
        for other in others {
            let same = other.disks.iter().find(|one| !(read_only && one.read_only) && one.disk().meets(&disk));
            if let Some(same) = same {
                let (their, place) = (&same.name, same.path.display());
                let does = if same.read_only { "reads it" } else { "writes it" };
                let other = format!("disk {their} ({place}) of guest {}, which runs and {does}", other.guest);
                return Err(CheckError::GuestDisk { disk: name, path, other });
            }
        }
        if let Some(used) = host_use::reason(&disk, &uses) {
            return Err(CheckError::HostDisk { disk: name, path, used: used.to_owned() });
        }
        if let Some(first) = found.iter().find(|one| !(read_only && one.read_only) && one.disk().meets(&disk)) {
            return Err(CheckError::SameDisk {
                first: first.name.clone(),
                first_path: first.path.display().to_string(),
                second: name,
                second_path: path,
            });
        }
        found.push(DiskRecord::new(&name, path.into(), read_only, &disk));
    }
    Ok(found)
}

/// The other guests whose disks and addresses are in use: those that somebody
/// supervises, and domains that have outlived their supervisor.
pub fn running_others(world: &World<'_>, guest: &str, hypervisor: Hypervisor) -> Vec<Record> {
    let mut others = crate::guests::status::all(world);
    others.retain(|other| {
        other.guest != guest
            && other.has_its_own()
            && (is_supervised(world, &other.guest) || outlived(world, &other.guest, hypervisor))
    });
    others
}

fn outlived(world: &World<'_>, guest: &str, hypervisor: Hypervisor) -> bool {
    // QEMU cannot: it is in the unit's control group.
    hypervisor == Hypervisor::Xen
        && crate::guests::hypervisor::xen::domain(world, guest).is_ok_and(|domain| domain.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::status::{Phase, supervise};
    use crate::guests::tests::Node;

    fn config(rest: &str) -> GuestConfig {
        GuestConfig::parse(&format!("schema = 1\nimage = \"web\"\nmemory = \"256M\"\n{rest}")).unwrap()
    }

    #[test]
    fn the_hypervisor_is_the_one_that_booted() {
        let node = Node::new();
        let world = node.world();
        assert_eq!(hypervisor(&world, &config("")), Err(CheckError::NoKvm));
        assert_eq!(hypervisor(&world, &config("accel = \"tcg\"\n")), Ok(Hypervisor::Kvm));
        let error = hypervisor(&world, &config("hypervisor = \"xen\"\n")).unwrap_err().to_string();
        assert!(error.starts_with("hypervisor = \"xen\", and the host booted with KVM"), "{error}");
        node.file("/dev/kvm", b"");
        assert_eq!(hypervisor(&world, &config("")), Ok(Hypervisor::Kvm));
        node.file("/sys/hypervisor/type", b"xen\n");
        assert_eq!(hypervisor(&world, &config("")), Ok(Hypervisor::Xen));
        node.file("/run/xenstore.pid", b"77\n");
        assert_eq!(hypervisor(&world, &config("")), Err(CheckError::NoXenstore));
        node.file("/proc/77/stat", b"");
        assert_eq!(hypervisor(&world, &config("")), Ok(Hypervisor::Xen));
    }

    #[test]
    fn memory_must_be_free() {
        let node = Node::new();
        let world = node.world();
        node.programs.answer("timeout 30 xl info free_memory", 0, "300\n");
        assert_eq!(memory(&world, Hypervisor::Xen, 256, 0), Ok(()));
        assert_eq!(memory(&world, Hypervisor::Xen, 299, 0), Err(CheckError::Memory { wanted: 299, free: 300 }));
        node.programs.answer("timeout 30 xl info free_memory", 1, "no hypervisor");
        let error = memory(&world, Hypervisor::Xen, 1, 0).unwrap_err().to_string();
        assert_eq!(error, "the host's free memory could not be asked: xl info: no hypervisor");
        node.file("/proc/meminfo", b"MemTotal: 2048000 kB\nMemAvailable:  1048576 kB\n");
        assert_eq!(memory(&world, Hypervisor::Kvm, 860, 100), Ok(()));
        assert!(memory(&world, Hypervisor::Kvm, 861, 100).is_err());
    }

    #[test]
    fn a_bridge_must_be_there_and_be_one() {
        let node = Node::new();
        let world = node.world();
        let error = networks(&world, &config("[[network]]\n")).unwrap_err().to_string();
        assert!(error.starts_with("there is no interface br0 on the host; set bridge"), "{error}");
        node.file("/sys/class/net/br1/bridge/bridge_id", b"");
        node.file("/sys/class/net/br0/address", b"02:00:00:00:00:09\n");
        let error = networks(&world, &config("[[network]]\n")).unwrap_err().to_string();
        assert!(error.starts_with("br0 is no bridge (its bridges are br1)"), "{error}");
        assert_eq!(networks(&world, &config("[[network]]\nbridge = \"br1\"\n")), Ok(()));
    }

    #[test]
    fn an_address_belongs_to_one_card() {
        let node = Node::new();
        let world = node.world();
        node.file("/sys/class/net/br0/address", b"02:00:00:00:00:09\n");
        let mut other = Record::new("db");
        other.macs.push("02:00:00:00:00:01".into());
        let check = |mac: &str| addresses(&world, &[mac.to_owned()], std::slice::from_ref(&other));
        assert_eq!(check("02:00:00:00:00:02"), Ok(()));
        assert!(check("02:00:00:00:00:01").unwrap_err().to_string().contains("is guest db's already"));
        assert!(check("02:00:00:00:00:09").unwrap_err().to_string().contains("the host's interface br0's"));
    }

    #[test]
    fn a_disk_belongs_to_one_writer() {
        let node = Node::new();
        let world = node.world();
        node.file("/data/a", b"x");
        std::fs::hard_link(node.at("/data/a"), node.at("/data/b")).unwrap();
        let write = |path: &str| config(&format!("[[disk]]\nname = \"data\"\nsource = \"{path}\"\n"));
        let read = |path: &str| config(&format!("[[disk]]\nname = \"data\"\nsource = \"{path}\"\nread-only = true\n"));
        let mut other = Record::new("db");
        other.disks = disks(&world, &write("/data/a"), &[]).unwrap();
        let others = [other.clone()];
        let error = disks(&world, &write("/data/b"), &others).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "disk data: /data/b is the same as disk data (/data/a) of guest db, which runs and writes it"
            ),
            "{error}"
        );
        assert!(disks(&world, &read("/data/b"), &others).is_err());
        other.disks = disks(&world, &read("/data/a"), &[]).unwrap();
        let others = [other];
        assert!(disks(&world, &read("/data/b"), &others).is_ok());
        assert!(disks(&world, &write("/data/b"), &others).unwrap_err().to_string().contains("reads it"));
        let error = disks(&world, &write("/data/none"), &others).unwrap_err().to_string();
        assert!(error.starts_with("disk data: /data/none could not be looked at: "), "{error}");
    }

    #[test]
    fn one_disk_by_two_names_in_one_guest_is_refused() {
        let node = Node::new();
        node.file("/data/a", b"x");
        std::fs::hard_link(node.at("/data/a"), node.at("/data/b")).unwrap();
        let text = "[[disk]]\nname = \"a\"\nsource = \"/data/a\"\n[[disk]]\nname = \"b\"\nsource = \"/data/b\"\n";
        let error = disks(&node.world(), &config(text), &[]).unwrap_err().to_string();
        assert!(error.contains("are the same bytes"), "{error}");
    }

    #[test]
    fn guests_count_while_somebody_supervises_them() {
        let node = Node::new();
        let world = node.world();
        let mut other = Record::new("db");
        other.phase = Phase::Ready;
        other.save(&world).unwrap();
        let running = |hypervisor| running_others(&world, "web", hypervisor).len();
        assert_eq!(running(Hypervisor::Kvm), 0);
        node.programs.answer("timeout 30 xl domid db", 0, "3\n");
        assert_eq!(running(Hypervisor::Xen), 1);
        let lock = supervise(&world, "db").unwrap();
        assert_eq!(running(Hypervisor::Kvm), 1);
        assert_eq!(running_others(&world, "db", Hypervisor::Kvm).len(), 0);
        drop(lock);
    }
}
