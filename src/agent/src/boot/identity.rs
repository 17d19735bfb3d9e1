//! Step 6, identity: machine-id, host name, and whether systemd-sysusers runs.

use super::{Boot, BootError, failed};
use crate::formats::verity::hex;
use appliance_contract::marker::{Marker, Role};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Where the layer of the config's files is made.
pub fn layer(boot: &Boot<'_>) -> std::path::PathBuf {
    boot.places.ours().join("etc/config")
}

/// The same node has the same id at every boot, on any hardware. Version and
/// variant are those of a random UUID, as machine-id(5) asks.
pub fn derive(role: Role, node: &str) -> String {
    let digest = Sha256::digest(format!("appliance machine-id\0{role}\0{node}"));
    let mut id: [u8; 16] = std::array::from_fn(|at| digest[at]);
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    hex(&id)
}

fn valid(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && id.bytes().any(|byte| byte != b'0')
}

/// Writes what the config does not bring itself into its layer of `/etc`.
pub fn write(boot: &mut Boot<'_>, marker: &Marker) -> Result<(String, String), BootError> {
    let layer = layer(boot);
    let own = fs::read_to_string(layer.join("machine-id")).ok().map(|text| text.trim().to_owned());
    let (machine_id, origin) = match (&marker.machine_id, own) {
        (Some(id), _) if valid(id) => (id.to_ascii_lowercase(), "the marker"),
        (None, Some(id)) if valid(&id) => (id.to_ascii_lowercase(), "local/etc/machine-id"),
        (given, own) => {
            if let Some(bad) = given.as_ref().or(own.as_ref()) {
                boot.warn(format!(
                    "machine-id: found {bad:?}, expected 32 hexadecimal digits; derived from the node's name"
                ));
            }
            (derive(marker.role, marker.node.as_str()), "the node's name")
        }
    };
    replace(&layer.join("machine-id"), &format!("{machine_id}\n"), 0o444)?;
    let host_name = layer.join("hostname");
    if fs::symlink_metadata(&host_name).is_err() {
        replace(&host_name, &format!("{}\n", marker.node), 0o644)?;
    }
    if layer.join("sysusers.d").is_dir() {
        run_sysusers(boot)?;
    }
    let line = format!("machine-id {machine_id} from {origin}");
    Ok((machine_id, line))
}

/// systemd-sysusers is conditioned on `/etc/.updated` being older than `/usr`.
/// Lifting that for this unit alone spares ldconfig and others, which share the condition.
fn run_sysusers(boot: &Boot<'_>) -> Result<(), BootError> {
    let folder = boot.places.run.join("systemd/system/systemd-sysusers.service.d");
    fs::create_dir_all(&folder).map_err(failed("making the folder", &folder))?;
    replace(&folder.join("appliance.conf"), "[Unit]\nConditionNeedsUpdate=\n", 0o644)
}

/// Writes a file anew, whatever stood there (a link is not followed).
fn replace(path: &Path, text: &str, mode: u32) -> Result<(), BootError> {
    let write = || {
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(failed("writing", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::tests::{World, put};

    fn marker(text: &str) -> Marker {
        Marker::parse(&format!("schema = 1\nrole = \"host\"\nnode = \"web1\"\n{text}")).unwrap()
    }

    #[test]
    fn the_derived_id_is_stable_valid_and_differs_by_node_and_role() {
        let id = derive(Role::Host, "web1");
        assert_eq!(id, derive(Role::Host, "web1"));
        assert!(valid(&id));
        assert_eq!(&id[12..13], "4");
        assert_ne!(id, derive(Role::Host, "web2"));
        assert_ne!(id, derive(Role::Guest, "web1"));
    }

    #[test]
    fn the_marker_wins_over_the_file_and_the_file_over_the_derived() {
        let world = World::new();
        let index = world.index(&[]);
        let mut boot = world.boot(&index);
        let layer = layer(&boot);
        fs::create_dir_all(&layer).unwrap();
        assert_eq!(write(&mut boot, &marker("")).unwrap().0, derive(Role::Host, "web1"));
        let (own, given) = ("ab".repeat(16), "cd".repeat(16));
        // The derived one is read-only, which an ordinary user cannot write over.
        fs::remove_file(layer.join("machine-id")).unwrap();
        put(&layer.join("machine-id"), &format!("{own}\n"));
        assert_eq!(write(&mut boot, &marker("")).unwrap().0, own);
        assert_eq!(write(&mut boot, &marker(&format!("machine-id = \"{given}\""))).unwrap().0, given);
        assert_eq!(fs::read_to_string(layer.join("machine-id")).unwrap(), format!("{given}\n"));
        assert_eq!(fs::read_to_string(layer.join("hostname")).unwrap(), "web1\n");
    }

    #[test]
    fn a_bad_id_is_named_and_not_used() {
        let world = World::new();
        let index = world.index(&[]);
        let mut boot = world.boot(&index);
        fs::create_dir_all(layer(&boot)).unwrap();
        assert_eq!(write(&mut boot, &marker("machine-id = \"xyz\"")).unwrap().0, derive(Role::Host, "web1"));
        assert!(world.said()[0].contains("found \"xyz\", expected 32 hexadecimal digits"), "{:?}", world.said());
    }

    #[test]
    fn the_configs_own_host_name_stays_and_sysusers_runs_only_when_brought() {
        let world = World::new();
        let index = world.index(&[]);
        let mut boot = world.boot(&index);
        let layer = layer(&boot);
        put(&layer.join("hostname"), "other\n");
        write(&mut boot, &marker("")).unwrap();
        assert_eq!(fs::read_to_string(layer.join("hostname")).unwrap(), "other\n");
        let drop_in = world.places().run.join("systemd/system/systemd-sysusers.service.d/appliance.conf");
        assert!(!drop_in.exists());
        put(&layer.join("sysusers.d/app.conf"), "u app\n");
        write(&mut boot, &marker("")).unwrap();
        assert!(drop_in.exists());
    }
}
