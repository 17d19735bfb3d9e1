//! The manifest that an image holds: what it is made of.

use crate::embedded;
use crate::identity;
use crate::packages::Lock;
use crate::profile::Profile;
use crate::rootfs::error::AssembleError;
use crate::util::sha256;
use appliance_contract::Schema;
use appliance_contract::causes::WithCauses as _;
use appliance_contract::manifest::{Manifest, Package};

/// The manifest of an image; the root's hash and the medium's files are for later stages.
pub fn manifest(profile: &Profile, lock: &Lock, version: &str, epoch: i64) -> Result<Manifest, AssembleError> {
    let rendered = lock.render().map_err(|error| AssembleError::Lock { problem: error.with_causes() })?;
    Ok(Manifest {
        schema: Schema::CURRENT,
        name: profile.name.clone(),
        version: version.to_owned(),
        kind: profile.kind,
        architecture: profile.architecture.debian().to_owned(),
        applbuild: identity::own().clone(),
        agent_sha256: profile.agent.then(|| sha256::of(embedded::AGENT)),
        lock_sha256: sha256::of(rendered),
        source_date_epoch: epoch,
        medium_uuid: None,
        root: None,
        boot_entries: Vec::new(),
        guest: None,
        guests: Vec::new(),
        files: Vec::new(),
        packages: lock
            .packages
            .iter()
            .map(|package| Package {
                name: package.name.clone(),
                version: package.version.clone(),
                architecture: package.architecture.clone(),
            })
            .collect(),
    })
}
