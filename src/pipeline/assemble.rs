use super::guest::GuestImage;
use super::{BuildError, Fetched, Resolved, inputs};
use crate::assemble::{self, Request, WorkFolder};
use crate::images::{Images, Slot};
use crate::medium::Image;
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
    pub(super) guests: Vec<GuestImage>,
}

/// The name that an image will have, and where.
#[derive(Debug)]
pub(super) struct Place {
    pub images: Images,
    pub slot: Slot,
    program: Program,
}

impl Fetched {
    pub fn assemble(mut self, progress: &dyn Progress) -> Result<Assembled, BuildError> {
        let guests = std::mem::take(&mut self.guests);
        let guests =
            guests.into_iter().map(|guest| guest.guest_image(progress)).collect::<Result<Vec<_>, BuildError>>()?;
        let place = self.place(&guests)?;
        self.assemble_in(place, guests, progress)
    }

    pub(super) fn place(&self, guests: &[GuestImage]) -> Result<Place, BuildError> {
        let order = &self.resolved.order;
        let images = Images::open(&order.output)?;
        let program = inputs::program()?;
        let inputs = inputs::digest(&self.resolved, &program, guests)?;
        let profile = &order.profile;
        // The build number is in the image, so it must be known first.
        let slot = images.slot(order.form, &profile.name, &profile.version, &inputs, order.replace)?;
        Ok(Place { images, slot, program })
    }

    pub(super) fn assemble_in(
        self,
        place: Place,
        guests: Vec<GuestImage>,
        progress: &dyn Progress,
    ) -> Result<Assembled, BuildError> {
        let Self { resolved, files, .. } = self;
        let Place { images, slot, program } = place;
        let order = &resolved.order;
        let work = WorkFolder::new(&images.work())?;
        let request = Request { profile: &order.profile, lock: &resolved.lock, files: &files, version: &slot.version };
        let assemble::Assembled { tree, work, .. } = assemble::assemble(&request, work, progress)?;
        let tools = assemble::unpack_tools(&resolved.lock.tools, &files, &work, progress)?;
        Ok(Assembled { resolved, images, slot, program, tree, tools, work, guests })
    }
}

impl Assembled {
    /// What is laid out.
    pub(super) fn image<'a>(&'a self, agent: Option<&'a [u8]>) -> Image<'a> {
        let Self { resolved, slot, tree, program, .. } = self;
        Image {
            profile: &resolved.order.profile,
            version: &slot.version,
            lock: &resolved.lock,
            lock_sha256: resolved.lock_sha256,
            source_date: resolved.source_date,
            tree,
            agent,
            program: program.clone(),
        }
    }
}
