//! Makes the tree independent of the build's time, directory and machine, and adds what a read-only root needs.

use crate::rootfs::error::AssembleError;
use crate::rootfs::finish::tree_edit;
use crate::rootfs::unpack::install::Extras;
use crate::tree::{Kind, Node, Tree, TreePath};
use appliance_contract::medium;
use std::collections::HashMap;

/// What the running system mounts, or fills itself; empty in the image.
const MOUNT_POINTS: [(&str, u16); 12] = [
    ("/boot", 0o755),
    ("/config", 0o755),
    ("/data", 0o755),
    ("/dev", 0o755),
    ("/media", 0o755),
    ("/mnt", 0o755),
    ("/proc", 0o555),
    ("/run", 0o755),
    ("/srv", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/var/tmp", 0o1777),
];
/// Emptied in every build; `/boot` is not, as the medium's kernel comes from there.
const EMPTIED: [&str; 8] =
    ["/dev", "/proc", "/run", "/sys", "/tmp", "/var/tmp", "/var/lib/dpkg/updates", "/var/backups"];
/// Backups, locks, caches and secrets that programs make as they run.
const REMOVED: [&str; 26] = [
    "/etc/.pwd.lock",
    "/etc/passwd-",
    "/etc/shadow-",
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/subuid-",
    "/etc/subgid-",
    "/etc/ld.so.cache~",
    "/var/cache/ldconfig/aux-cache",
    "/var/cache/apt/pkgcache.bin",
    "/var/cache/apt/srcpkgcache.bin",
    "/var/cache/debconf/config.dat-old",
    "/var/cache/debconf/passwords.dat-old",
    "/var/cache/debconf/templates.dat-old",
    "/var/lib/dbus/machine-id",
    "/var/lib/dpkg/lock",
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/triggers/Lock",
    "/var/lib/dpkg/status-old",
    "/var/lib/dpkg/available-old",
    "/var/lib/dpkg/diversions-old",
    "/var/lib/dpkg/statoverride-old",
    "/var/lib/systemd/catalog/.lock",
    "/var/lib/systemd/credential.secret",
    "/var/lib/systemd/random-seed",
    "/root/.rnd",
];

/// Puts into the tree what a user namespace could not make.
pub fn add_extras(tree: &mut Tree, extras: Extras) -> Result<(), AssembleError> {
    for (path, metadata, kind) in extras.devices {
        tree.insert(&path, Node { metadata, kind })?;
    }
    for (path, xattrs) in extras.xattrs {
        if let Some(id) = tree.lookup(&path) {
            tree.node_mut(id).metadata.xattrs.extend(xattrs);
        }
    }
    Ok(())
}

/// Removes what only running programs know.
pub fn clean(tree: &mut Tree) {
    for folder in EMPTIED {
        tree_edit::empty(tree, folder);
    }
    for file in REMOVED {
        tree_edit::remove(tree, file);
    }
    // Two nodes with one key would trust each other; the agent makes keys or takes the config's.
    for name in tree_edit::names(tree, "/etc/ssh") {
        if name.starts_with("ssh_host_") && name.contains("_key") {
            tree_edit::remove(tree, &format!("/etc/ssh/{name}"));
        }
    }
    for name in tree_edit::names(tree, "/boot") {
        if name.starts_with("initrd.img") {
            tree_edit::remove(tree, &format!("/boot/{name}"));
        }
    }
    for name in ["/initrd.img", "/initrd.img.old", "/vmlinuz", "/vmlinuz.old"] {
        tree_edit::remove(tree, name);
    }
    let doomed: Vec<TreePath> = tree
        .walk()
        .filter(|(path, id)| {
            let names: Vec<&[u8]> = path.names().collect();
            let below = |folder: &[&[u8]]| names.len() > folder.len() && names[..folder.len()] == *folder;
            let left_behind = below(&[b"var", b"log"]) || below(&[b"var", b"lib", b"apt", b"lists"]);
            // Python makes them anew in memory; they hold times and twice the size.
            let compiled = path.name() == Some(b"__pycache__");
            compiled || (left_behind && !matches!(tree.node(*id).kind, Kind::Directory(_)))
        })
        .map(|(path, _)| path)
        .collect();
    for path in doomed {
        // Its directory was removed before it, or it was.
        let _ = tree.remove(&path);
    }
}

/// Drops the access lists below `/var/log`, which squashfs cannot hold: systemd
/// sets them on the running node (`tmpfiles.d/systemd.conf`).
pub fn drop_log_acls(tree: &mut Tree) -> Result<(), AssembleError> {
    let logs = tree_edit::path("/var/log")?;
    let below: Vec<_> = tree.walk().filter(|(path, _)| path.names().take(2).eq(logs.names())).collect();
    for (_, id) in below {
        tree.node_mut(id).metadata.xattrs.retain(|name, _| !name.starts_with(b"system.posix_acl_"));
    }
    Ok(())
}

/// Moves dpkg's database to where no `/var` can hide it.
pub fn move_database(tree: &mut Tree, epoch: i64) -> Result<(), AssembleError> {
    const PLACE: &str = "/var/lib/dpkg";
    if tree_edit::find(tree, PLACE).is_none() {
        return Ok(());
    }
    tree_edit::ensure_folder(
        tree,
        medium::IN_IMAGE_DPKG.rsplit_once('/').map_or("/", |(parent, _)| parent),
        0o755,
        epoch,
    )?;
    tree_edit::rename(tree, PLACE, medium::IN_IMAGE_DPKG)?;
    tree_edit::put_symlink(tree, PLACE, medium::IN_IMAGE_DPKG, epoch)?;
    // `?`: an image of another make, booted with this one's /var, is left alone.
    let line = format!("L+? {PLACE} - - - - {}\n", medium::IN_IMAGE_DPKG);
    tree_edit::put_file(tree, "/usr/lib/tmpfiles.d/appliance-dpkg.conf", line, 0o644, epoch)
}

/// The folders and links that a read-only root needs, for an image that the agent boots.
pub fn fit_for_reading_only(tree: &mut Tree, epoch: i64) -> Result<(), AssembleError> {
    for (folder, mode) in MOUNT_POINTS {
        tree_edit::ensure_folder(tree, folder, mode, epoch)?;
    }
    // Homes are written to, so they live under /var.
    for (place, home, mode) in [("/root", "/var/roothome", 0o700), ("/home", "/var/home", 0o755)] {
        let is_link = tree_edit::find(tree, place).is_some_and(|id| matches!(tree.node(id).kind, Kind::Symlink(_)));
        tree_edit::ensure_folder(tree, "/var", 0o755, epoch)?;
        if is_link {
            tree_edit::ensure_folder(tree, home, mode, epoch)?;
            continue;
        }
        if tree_edit::find(tree, place).is_some() {
            tree_edit::rename(tree, place, home)?;
        } else {
            tree_edit::ensure_folder(tree, home, mode, epoch)?;
        }
        tree_edit::put_symlink(tree, place, home.trim_start_matches('/'), epoch)?;
    }
    let overridden = tree_edit::find(tree, "/etc/tmpfiles.d/home.conf").is_some();
    if tree_edit::find(tree, "/usr/lib/tmpfiles.d/home.conf").is_some() && !overridden {
        // Takes the place of systemd's, which would have /home be a folder.
        let lines = "d /var/home 0755 root root -\nd /var/roothome 0700 root root -\nq /srv 0755 - - -\n";
        tree_edit::put_file(tree, "/etc/tmpfiles.d/home.conf", lines, 0o644, epoch)?;
    }
    // Empty, not missing: missing would be a first boot, with presets. The agent gives the id.
    tree_edit::put_file(tree, "/etc/machine-id", "", 0o444, epoch)?;
    if tree_edit::find(tree, "/usr/lib/systemd/system/systemd-resolved.service").is_some()
        && !tree_edit::find(tree, "/etc/resolv.conf").is_some_and(|id| matches!(tree.node(id).kind, Kind::File(_)))
    {
        tree_edit::put_symlink(tree, "/etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf", epoch)?;
    }
    if tree_edit::find(tree, "/etc/hostname").is_none() {
        tree_edit::put_file(tree, "/etc/hostname", "localhost\n", 0o644, epoch)?;
    }
    // Else ldconfig, the journal's catalog and others are made anew at each boot (systemd-update-done(8)).
    let stamp =
        format!("# The image's own time: nothing is to be made anew at boot.\nTIMESTAMP_NSEC={}000000000\n", epoch);
    tree_edit::put_file(tree, "/etc/.updated", stamp.clone(), 0o644, epoch)?;
    tree_edit::put_file(tree, "/var/.updated", stamp, 0o644, epoch)
}

/// Adds what tells this image apart to `/etc/os-release` (os-release(5)). The
/// file in `/usr/lib` is a package's, and stays as it is.
pub fn name_image(tree: &mut Tree, name: &str, version: &str, epoch: i64) -> Result<(), AssembleError> {
    let Some(text) = tree_edit::read_text(tree, "/usr/lib/os-release")? else { return Ok(()) };
    let text = format!("{}\nIMAGE_ID=\"{name}\"\nIMAGE_VERSION=\"{version}\"\n", text.trim_end());
    tree_edit::remove(tree, "/etc/os-release");
    tree_edit::put_file(tree, "/etc/os-release", text, 0o644, epoch)
}

/// Sets every time that is not an archive's own, and none is after the source date.
/// `times` holds what archives gave to files that no program has written to since.
pub fn settle_times(tree: &mut Tree, times: &HashMap<TreePath, i64>, epoch: i64) {
    let entries: Vec<_> = tree.walk().collect();
    let mut kept = HashMap::new();
    for (path, id) in &entries {
        let node = tree.node(*id);
        let own = times.get(path).copied().filter(|&time| time == node.metadata.mtime && time <= epoch && time >= 0);
        if matches!(node.kind, Kind::Directory(_) | Kind::Symlink(_)) {
            continue;
        }
        if let Some(time) = own {
            kept.insert(*id, time);
        }
    }
    for (_, id) in entries {
        tree.node_mut(id).metadata.mtime = kept.get(&id).copied().unwrap_or(epoch);
    }
}
