//! Builds bootable appliance images. ARCHITECTURE.md lists the modules in the order of their imports.

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
