//! From the root file system to the image in its place.

use super::{BuildError, Built, Packed};
use crate::boot::grub::Tools;
use crate::output::catalog::Finished;
use crate::output::{self, Guest, Input, Root};
use crate::progress::Progress;

impl Packed {
    pub fn lay_out(self, progress: &dyn Progress) -> Result<Built, BuildError> {
        let assembled = &self.assembled;
        let resolved = &assembled.resolved;
        let request = &resolved.request;
        let iso = assembled.work.path().join("medium.iso");
        let guests: Vec<Guest<'_>> =
            assembled.guests.iter().map(|guest| Guest { folder: &guest.folder, manifest: &guest.manifest }).collect();
        let tools = self.tools(progress)?;
        let medium = medium::lay_out(
            Input {
                image: self.image(),
                root: match &self.root {
                    Some(root) => Root::Squashfs { file: &root.file, offset: root.offset, verity: &root.verity },
                    None => Root::Plain,
                },
                guests: &guests,
                loader: &Tools { folder: &tools, work: assembled.work.path() },
                templates: request.templates.as_deref(),
                output: &iso,
            },
            progress,
        )?;
        let rebuild = assembled.rebuild();
        let finished = Finished {
            iso: &medium.path,
            size: medium.size,
            sha256: medium.sha256,
            manifest: &medium.manifest_json,
            sbom: &medium.sbom,
            lock: resolved.lock_text.as_bytes(),
            rebuild: rebuild.as_bytes(),
        };
        let placed = assembled.images.place(&assembled.slot, &finished, request.replace)?;
        Ok(Built {
            path: placed.path,
            version: placed.version,
            was_there: placed.was_there,
            size: medium.size,
            sha256: medium.sha256,
            packages: resolved.lock.packages.len(),
            root_size: self.root.as_ref().map(|root| root.size),
            initramfs_size: medium.initramfs_size,
            content: self.root.as_ref().map_or(0, |root| root.content),
            reused: self.root.as_ref().map_or(0, |root| root.reused),
            lock: assembled.outcome.clone(),
        })
    }
}
