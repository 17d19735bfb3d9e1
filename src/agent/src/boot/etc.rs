//! Step 5, etc: the config's files as a layer over the image's `/etc`.
//! Step 7, overlay: both mounted, with a layer of memory above. `/run/appliance/etc` holds the parts: `image`,
//! `config`, `memory`.

use super::config::Config;
use super::{Boot, BootError, failed, identity, var};
use crate::etc_plan::{self, Places};
use crate::system::attributes;
use appliance_contract::boot_record::Etc;
use std::fs;
use std::path::Path;

pub use crate::etc_plan::EtcError;

/// What went into the config's layer.
#[derive(Debug)]
pub struct Layer {
    pub record: Etc,
}

/// Copies the config's files into memory.
pub fn prepare(boot: &mut Boot<'_>, config: &Config) -> Result<(Layer, String), BootError> {
    let folder = boot.places.ours().join("etc");
    // What an earlier attempt left is not added to.
    let _ = boot.machine.unmount(&folder);
    fs::create_dir_all(&folder).map_err(failed("making the folder", &folder))?;
    boot.mount_memory(&folder, "25%").map_err(failed("mounting memory at", &folder))?;
    let (mount, image) = (boot.places.config.clone(), boot.places.sysroot.clone());
    let places = Places { config: &mount, image: &image, has_modes: config.kind.has_modes() };
    let plan = etc_plan::prepare(places, &config.marker, &attributes)?;
    let set_owner = |path: &Path, uid, gid| boot.machine.set_owner(path, uid, gid);
    etc_plan::apply(&plan, &mount.join("local/etc"), &identity::layer(boot), &set_owner).map_err(EtcError::from)?;
    for warning in &plan.warnings {
        boot.warn(format!("etc: {warning}"));
    }
    for dropped in &plan.dropped {
        boot.warn(format!("etc: {} left out: {}", dropped.device, dropped.reason));
    }
    let line = format!(
        "{} files, {} bytes from the config, {} links to global, {} left out",
        plan.files,
        plan.bytes,
        plan.global_links.len(),
        plan.dropped.len()
    );
    let record = Etc { files: plan.files, bytes: plan.bytes, dropped: plan.dropped, global_links: plan.global_links };
    Ok((Layer { record }, line))
}

fn attributes(path: &Path) -> Vec<String> {
    // They are only told of: what cannot be read fails when its bytes are.
    let names = attributes::names(path).unwrap_or_default();
    names.iter().map(|name| name.to_string_lossy().into_owned()).collect()
}

/// Lays the layers over the image's `/etc`.
pub fn mount(boot: &mut Boot<'_>) -> Result<((), String), BootError> {
    let target = boot.places.sysroot.join("etc");
    let image = boot.places.ours().join("etc/image");
    fs::create_dir_all(&image).map_err(failed("making the folder", &image))?;
    boot.machine.bind(&target, &image).map_err(failed("binding the image's own", &target))?;
    var::overlay(boot, "etc", &[&identity::layer(boot), &image], &target)?;
    Ok(((), "the image's, the config's and a layer of memory".into()))
}
