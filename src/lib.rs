//! Builds bootable appliance images. ARCHITECTURE.md describes the modules.
//!
//! Each module imports only modules below it in this list, except within its own directory:
//!
//! - [`reproduce`]: the second build of `--reproduce`, in a different environment, and the comparison of both images.
//! - [`pipeline`]: the stages of a build; each is a type that the next one consumes.
//! - [`output`]: the kinds of output, their records, and the catalog of built images.
//! - [`rootfs`]: packages to the tree of an image: unpacking, configuring, overlay, normalisation.
//! - [`boot`]: kernel modules, initramfs, microcode, boot entries and GRUB.
//! - [`qemu`]: virtual machines and boot scenarios.
//! - [`packages`]: from the signature of an archive to verified package files: index, resolver, lock, download.
//! - [`fleet`]: the configs of all nodes, and config partitions made from them.
//! - [`differ`]: the first file in which two images differ.
//! - [`profile`]: TOML to a checked [`profile::Profile`].
//! - [`cache`]: results of earlier builds: files, blocks, unpacked packages and configured roots.
//! - [`sandbox`]: runs programs in namespaces.
//! - [`mod@format`]: file system and archive formats.
//! - [`templates`]: Handlebars templates, embedded and of the user.
//! - [`tree`]: the file tree of an image, in memory.
//! - [`identity`]: the identity of this builder: hashes of its source and agent, versions of libraries.
//! - [`progress`]: how long work reports progress.
//! - [`embedded`]: the agent and the profiles in this binary.
//! - [`util`]: atomic files, bounded reads, errors with a path, SHA-256, threads.

#![warn(missing_docs)]

pub mod boot;
pub mod cache;
pub mod differ;
pub mod embedded;
pub mod fleet;
pub mod format;
pub mod identity;
pub mod output;
pub mod packages;
pub mod pipeline;
pub mod profile;
pub mod progress;
pub mod qemu;
pub mod reproduce;
pub mod rootfs;
pub mod sandbox;
pub mod templates;
pub mod tree;
pub mod util;

#[cfg(test)]
mod tests;
