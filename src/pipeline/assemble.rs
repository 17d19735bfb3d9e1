use super::{BuildError, Fetched, Resolved, inputs};
use crate::assemble::{self, Request, WorkFolder};
use crate::images::{Images, Slot};
use crate::progress::Progress;
use crate::tree::Tree;
use appliance_contract::manifest::Program;
use std::path::PathBuf;

/// The whole image in a tree, and the name that it will have.
#[derive(Debug)]
pub struct Assembled {
    pub(super) resolved: Resolved,
    pub(super) images: Images,
    pub(super) slot: Slot,
    pub(super) program: Program,
    pub(super) tree: Tree,
    /// Folder with the lock's tools.
    pub(super) tools: PathBuf,
    /// Holds what the tree names.
    pub(super) work: WorkFolder,
}

impl Fetched {
    pub fn assemble(self, progress: &dyn Progress) -> Result<Assembled, BuildError> {
        let Self { resolved, files } = self;
        let order = &resolved.order;
        let images = Images::open(&order.output)?;
        let program = inputs::program()?;
        let inputs = inputs::digest(&resolved, &program)?;
        // The build number is in the image, so it must be known first.
        let slot = images.slot(&order.profile.name, &order.profile.version, &inputs, order.replace)?;
        let work = WorkFolder::new(&images.work())?;
        let request = Request { profile: &order.profile, lock: &resolved.lock, files: &files, version: &slot.version };
        let assemble::Assembled { tree, work, .. } = assemble::assemble(&request, work, progress)?;
        let tools = assemble::unpack_tools(&resolved.lock.tools, &files, &work, progress)?;
        Ok(Assembled { resolved, images, slot, program, tree, tools, work })
    }
}
