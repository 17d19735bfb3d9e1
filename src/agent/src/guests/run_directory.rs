//! The directory of a running guest, `/run/appliance/guests/NAME`.

use crate::system::world::World;
use appliance_contract::medium::RUN_GUESTS;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The path of a guest's file below `/run`, on the node.
pub fn path(guest: &str, file: &str) -> PathBuf {
    Path::new(RUN_GUESTS).join(guest).join(file)
}

/// The same path in the tree of `world`.
pub fn place(world: &World<'_>, guest: &str, file: &str) -> PathBuf {
    world.at(path(guest, file))
}

/// Makes the guest's directory. Other users may traverse it, as QEMU must, but not list it.
pub fn make(world: &World<'_>, guest: &str) -> io::Result<()> {
    let folder = place(world, guest, "");
    fs::create_dir_all(&folder)?;
    for folder in [world.at(RUN_GUESTS), folder] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o711))?;
    }
    Ok(())
}
