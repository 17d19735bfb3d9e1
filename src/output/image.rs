//! What an image consists of, whatever the kind of output.

use super::OutputError;
use crate::boot::initramfs::{self, Initramfs};
use crate::boot::kernel::{KernelError, Kernels};
use crate::format::squashfs::BlockCache;
use crate::packages::Lock;
use crate::profile::Profile;
use crate::progress::Progress;
use crate::tree::{Tree, TreePath};
use appliance_contract::Sha256;
use appliance_contract::manifest::Manifest;

/// What every kind of output is made of.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    /// The image's definition.
    pub profile: &'a Profile,
    /// The profile's, with the build number when it is not the first.
    pub version: &'a str,
    /// The packages in it.
    pub lock: &'a Lock,
    /// SHA-256 of the lock's text.
    pub lock_sha256: Sha256,
    /// Seconds since 1970, in every file of ours.
    pub source_date: i64,
    /// The assembled image: kernel, modules, microcode and Xen are taken from it.
    pub tree: &'a Tree,
    /// The agent's bytes; `None` for a system without it.
    pub agent: Option<&'a [u8]>,
    /// As it stands in the tree: without the root's hash and the medium's files.
    pub manifest: &'a Manifest,
    /// [`Image::initramfs`], where it was made before.
    pub initramfs: Option<&'a Initramfs>,
}

impl Image<'_> {
    /// The initramfs of `kernels`, with `agent` as its `/init`.
    pub fn initramfs(
        &self,
        kernels: &Kernels,
        agent: &[u8],
        keeper: &dyn BlockCache,
        progress: &dyn Progress,
    ) -> Result<Initramfs, OutputError> {
        if let Some(made) = self.initramfs {
            return Ok(made.clone());
        }
        let path = kernels.kernel.path.to_string();
        // Modules are found by version; a kernel by another name has none.
        let version = kernels.version.clone().unwrap_or_default();
        let modules = TreePath::parse(crate::boot::modules::folder(&version))?.join("modules.dep")?;
        if version.is_empty() || self.tree.get(&modules).is_none() {
            return Err(KernelError::Modules { path, version }.into());
        }
        progress.item("initramfs");
        let drivers = &self.profile.initramfs;
        let initramfs = Initramfs::build(self.tree, &version, drivers, agent, self.source_date, keeper)?;
        let size = initramfs.bytes.len() as u64;
        if size > initramfs::LIMIT {
            progress.warn(&format!(
                "the initramfs is {size} bytes long, more than {}; initramfs.exclude in the profile narrows its drivers",
                initramfs::LIMIT
            ));
        }
        Ok(initramfs)
    }
}

/// The text of a manifest as it lies beside what it tells of.
pub fn manifest_text(manifest: &Manifest) -> Vec<u8> {
    // A manifest is strings, numbers and lists of them, which all have a JSON form.
    let mut text = serde_json::to_vec_pretty(manifest).unwrap_or_default();
    text.push(b'\n');
    text
}
