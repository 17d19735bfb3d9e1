//! Plans and writes the config's layer over the image's `/etc`, with owners and modes.
//!
//! [`local_etc::read`] lists the directory, [`plan`] decides (without I/O except
//! through [`View`]), [`apply`] copies. `plan::Plan` also has everything to report.

mod apply;
mod install;
mod owners;
mod plan;
#[cfg(test)]
mod tests;
mod view;

pub use apply::{ApplyError, apply};
pub use plan::{Inputs, Plan, Step, What, plan};
pub use view::{Attributes, RootView, View};

use appliance_contract::local_etc::Bounds;
use appliance_contract::marker::Marker;
use appliance_contract::modes::{self, Modes, ModesError};
use appliance_shared::local_etc::{self, SourceError};
use std::path::Path;

/// Why there is no layer for `/etc`.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum EtcError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("local/modes of the config: {0}")]
    Modes(ModesError),
    #[error("local/modes of the config is no text file of 1 MiB at most, so the modes of private files are unknown")]
    ModesUnreadable,
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl From<ModesError> for EtcError {
    fn from(error: ModesError) -> Self {
        Self::Modes(error)
    }
}

/// The directories of the config and the image.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The mounted config partition, with `local/` and `global/` in it.
    pub config: &'a Path,
    /// The image's root.
    pub image: &'a Path,
    /// Whether the config's file system stores modes.
    pub has_modes: bool,
}

/// Reads the config and plans; `attributes` lists the names of a file's extended attributes.
pub fn prepare(
    places: Places<'_>,
    marker: &Marker,
    attributes: &dyn Fn(&Path) -> Vec<String>,
) -> Result<Plan, EtcError> {
    let local = RootView::new(&places.config.join("local"));
    let modes = match local.read(modes::FILE_NAME) {
        Some(text) => Modes::parse(&text)?,
        None if local.exists(modes::FILE_NAME) => return Err(EtcError::ModesUnreadable),
        None => Modes::default(),
    };
    let source = local_etc::read(&places.config.join("local/etc"), Bounds::default(), attributes)?;
    Ok(plan(&Inputs {
        source: &source,
        has_modes: places.has_modes,
        marker,
        modes: &modes,
        image: &RootView::new(places.image),
        local: &local,
        global: &RootView::new(&places.config.join("global")),
    }))
}
