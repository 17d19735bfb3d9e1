//! The stage that publishes: lays the output out and moves it into the catalog.

use super::{BuildError, Built, Packed};
use crate::boot::grub::{Loader, Tools};
use crate::output::catalog::Texts;
use crate::output::{Guest, Input, Root};
use crate::progress::Progress;

impl Packed {
    /// Lays the output out and publishes it in the directory of images.
    pub fn publish(self, progress: &dyn Progress) -> Result<Built, BuildError> {
        let assembled = &self.assembled;
        let resolved = &assembled.resolved;
        let request = &resolved.request;
        let guests: Vec<Guest<'_>> = assembled
            .guests
            .iter()
            .map(|guest| Guest { directory: &guest.directory, manifest: &guest.manifest })
            .collect();
        let tools = self.tools.as_ref().map(|tools| Tools { folder: tools, work: assembled.work.path() });
        let input = Input {
            image: self.image(),
            root: match &self.root {
                Some(root) => Root::Squashfs { file: &root.file, offset: root.offset, verity: &root.verity },
                None => Root::Plain,
            },
            guests: &guests,
            loader: tools.as_ref().map(|tools| tools as &dyn Loader),
            templates: request.templates.as_deref(),
            lock_text: &resolved.lock_text,
            path: &assembled.work.path().join("output"),
        };
        let artifact = request.kind.lay_out(&input, progress)?;
        let texts = Texts { lock: &resolved.lock_text, rebuild: &assembled.rebuild() };
        let published = assembled.catalog.publish(&assembled.name, &artifact, texts, request.replace)?;
        let root = self.root.as_ref();
        Ok(Built {
            path: published.path,
            name: assembled.name.clone(),
            was_there: published.was_there,
            size: artifact.size,
            sha256: artifact.sha256,
            packages: resolved.lock.packages.len(),
            root_size: root.map(|root| root.size),
            initramfs_size: artifact.initramfs_size,
            content: root.map_or(0, |root| root.content),
            reused: root.map_or(0, |root| root.reused),
            lock: assembled.outcome.clone(),
        })
    }
}
