//! The directory of a guest that runs, `/run/appliance/guests/NAME`.

use crate::system::world::World;
use appliance_contract::medium::RUN_GUESTS;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A file of a guest below `/run`, as the node names it.
pub fn path(guest: &str, file: &str) -> PathBuf {
    Path::new(RUN_GUESTS).join(guest).join(file)
}

/// The same file in the tree of `world`.
pub fn place(world: &World<'_>, guest: &str, file: &str) -> PathBuf {
    world.at(path(guest, file))
}

/// Makes the guest's directory. Others may pass through it, for QEMU is nobody, and see nothing.
pub fn make(world: &World<'_>, guest: &str) -> io::Result<()> {
    let folder = place(world, guest, "");
    fs::create_dir_all(&folder)?;
    for folder in [world.at(RUN_GUESTS), folder] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o711))?;
    }
    Ok(())
}
