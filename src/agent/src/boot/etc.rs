//! Step 5, etc: copies the config's files into a layer over the image's `/etc`.
//!
//! Step 7, overlay: mounts both, with a layer in memory above. `/run/appliance/etc` has the parts: `image`, `config`,
//! `memory`.

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
    let folder = boot.places.agent_directory().join("etc");
    // Discards what an earlier attempt left.
    let _ = boot.machine.unmount(&folder);
    fs::create_dir_all(&folder).map_err(failed("creating", &folder))?;
    boot.mount_memory(&folder, "25%").map_err(failed("mounting tmpfs at", &folder))?;
    let (mount, image) = (boot.places.config.clone(), boot.places.sysroot.clone());
    let places = Places { config: &mount, image: &image, has_modes: config.kind.has_modes() };
    let plan = etc_plan::prepare(places, &config.marker, &attributes)?;
    let set_owner = |path: &Path, uid, gid| boot.machine.set_owner(path, uid, gid);
    etc_plan::apply(&plan, &mount.join("local/etc"), &identity::config_layer(boot), &set_owner)
        .map_err(EtcError::from)?;
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
    // Attributes are only reported. A file that cannot be read fails when it is copied.
    let names = attributes::names(path).unwrap_or_default();
    names.iter().map(|name| name.to_string_lossy().into_owned()).collect()
}

/// Mounts the overlay at `/etc`.
pub fn mount(boot: &mut Boot<'_>) -> Result<((), String), BootError> {
    let target = boot.places.sysroot.join("etc");
    let image = boot.places.agent_directory().join("etc/image");
    fs::create_dir_all(&image).map_err(failed("creating", &image))?;
    boot.machine.bind(&target, &image).map_err(failed("binding the image's own", &target))?;
    var::overlay(boot, "etc", &[&identity::config_layer(boot), &image], &target)?;
    Ok(((), "the image's, the config's and a layer of memory".into()))
}
